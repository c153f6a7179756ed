"""Runs commands of the unmodified OpenStack client, one a line of stdin, all in one process: a start takes a second.

Each is answered by a line of JSON: its exit code, stdout and stderr.
"""
import contextlib
import io
import json
import shlex
import sys

from openstackclient import shell

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.OpenStackShell().run(shlex.split(line))
        except SystemExit as end:
            code = end.code
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
