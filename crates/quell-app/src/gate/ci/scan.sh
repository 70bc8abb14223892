# quell gate: begin
set -eu
# Only this version: another one may find less. A missing quell ends the job here.
have=$(quell --version)
if [ "$have" != "quell @VERSION@" ]; then
  echo "the job wants quell @VERSION@ and has: $have" >&2
  exit 1
fi
# A shallow clone hides history, so it is no clean one.
if [ "$(git rev-parse --is-shallow-repository)" != false ]; then
  echo "the clone is shallow, or no clone: fetch the whole history" >&2
  exit 1
fi
# What this repository accepts, each value with a reason.
set --
if [ -e .quell-baseline ]; then
  set -- --baseline .quell-baseline
fi
code=0
quell scan . "$@" --no-record --format sarif --output quell.sarif || code=$?
# 0: everything was read and nothing found. 10: found. 11: not everything was read. Anything else: quell itself failed.
# All but 0 end the job. The next line makes it so: `exit 0` here, or `|| true` behind it, would make the gate fail open.
exit "$code"
# quell gate: end
