# SPDX-License-Identifier: Apache-2.0
"""`podfast import`."""

from __future__ import annotations

from podfast.cli.arguments import Options, Parser, assignment, swept_places

DESCRIPTION = "Makes an image of a root file system: a tar archive, plain or gzip, or a directory."
EPILOG = """examples:
  podfast import rootfs.tar.gz localhost/web:1
  debootstrap --variant=minbase bookworm /tmp/d && podfast import /tmp/d localhost/debian:12
  docker export web | podfast import - localhost/web:2 --cmd nginx --cmd '-g daemon off;'
"""


def configure(parser: Parser) -> None:
    parser.usage = "podfast import [options] FILE NAME"
    parser.add_argument("source", metavar="FILE", help="tar archive or directory; - is standard input")
    parser.add_argument("name", metavar="NAME", help="the image's name, for `image:` in a pod")
    parser.add_argument(
        "--entrypoint", metavar="WORD", action="append", default=[], help="what is run; repeat for each word"
    )
    parser.add_argument(
        "--cmd", metavar="WORD", action="append", default=[], help="default arguments; repeat for each word"
    )
    parser.add_argument(
        "-e", "--env", metavar="NAME=VALUE", type=assignment, action="append", default=[], help="set a variable"
    )
    parser.add_argument("--user", metavar="USER[:GROUP]", default="", help="who runs it")
    parser.add_argument("-w", "--workdir", metavar="DIR", default="", help="the working directory")


def run(options: Options) -> int:
    from podfast.images import import_rootfs

    image = import_rootfs(
        options.source,
        options.name,
        root=swept_places(options).root,
        entrypoint=options.entrypoint,
        cmd=options.cmd,
        env=options.env,
        user=options.user,
        workdir=options.workdir,
    )
    print(f"{image.reference} {image.id[:12]}")
    return 0
