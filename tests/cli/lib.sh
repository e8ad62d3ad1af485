# Shared by the tests of the program: what must work, what must fail and how. $sspo is the program.
failed=0
complain() { printf 'FAILED: %s\n' "$*"; failed=1; }
expect() { "${@:2}" || complain "$1"; }
differs() { ! cmp -s "$1" "$2"; }

# works ARGUMENTS...: exit 0; stdout and stderr stay in `out` and `err`.
works() {
  local status=0
  "$sspo" "$@" >out 2>err || status=$?
  ((status == 0)) || { complain "sspo $* (exit $status)"; cat err; }
}
# fails CODE PATTERN ARGUMENTS...: that exit code, nothing on stdout, one line on stderr: "error: ", and in it the pattern.
fails() {
  local status=0
  "$sspo" "${@:3}" >out 2>err || status=$?
  ((status == $1)) || complain "sspo ${*:3}: exit $status in place of $1"
  [[ ! -s out && $(wc -l <err) == 1 ]] && grep -q '^error: ' err && ! grep -q '[[:cntrl:]]' err || complain "sspo ${*:3}: not one clean line"
  grep -qE -- "$2" err || { complain "sspo ${*:3}: no '$2' in"; cat err; }
}
# says PATTERN...: each is in stdout.
says() { local pattern; for pattern in "$@"; do grep -qE -- "$pattern" out || { complain "no '$pattern' in"; head -n 20 out; }; done; }
