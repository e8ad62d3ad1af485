#!/usr/bin/env bash
# The program's promises, on a demo of three steps.   demo_test.sh path/to/sspo
set -euo pipefail
sspo=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

failed=0
expect() { if ! "${@:2}"; then echo "FAILED: $1"; failed=1; fi; }
code() { local status=0; "${@:2}" >"$out/stdout" 2>"$out/stderr" || status=$?; [[ $status == "$1" ]]; }
demo() { "$sspo" demo --steps 3 --batch 4 --channels 16 --columns 1 --out "$@"; }

# The same bits for any number of threads; another seed gives others.
expect "a run succeeds" code 0 demo "$out/one" --threads 1 --json
expect "its summary is JSON" grep -q '"last_loss"' "$out/stdout"
expect "a run with two threads" code 0 demo "$out/two" --threads 2
expect "a run with another seed" code 0 demo "$out/other" --threads 2 --seed 7
for file in loss.csv samples.png data.png; do
  expect "$file does not depend on the threads" cmp "$out/one/$file" "$out/two/$file"
  expect "$file depends on the seed" code 1 cmp -s "$out/one/$file" "$out/other/$file"
done
expect "four lines of losses" test "$(wc -l <"$out/one/loss.csv")" = 4
expect "finite losses" code 1 grep -qiE 'nan|inf' "$out/one/loss.csv"
expect "a report that loads nothing" code 1 grep -qE '(src|href)="(https?:)?//' "$out/one/report.html"
expect "no temporary is left" test -z "$(find "$out/one" -name '*.tmp')"

# A folder with content is refused, in one line, and left alone.
echo mine >"$out/one/notes.txt"
before=$(cksum "$out"/one/*)
expect "content is refused" code 65 demo "$out/one"
expect "in one line" test "$(wc -l <"$out/stderr")" = 1
expect "that names the way out" grep -q -- --force "$out/stderr"
expect "nothing has changed" test "$before" = "$(cksum "$out"/one/*)"
expect "--force writes over it" code 0 demo "$out/one" --force
expect "and deletes nothing" grep -q mine "$out/one/notes.txt"

# Exit codes.
expect "no verb" code 64 "$sspo"
expect "an unknown option" code 64 "$sspo" demo --out "$out/x" --nonsense
expect "no steps" code 64 "$sspo" demo --out "$out/x" --steps 0
expect "an unknown instruction set" code 64 "$sspo" demo --out "$out/x" --isa sse9
expect "a file in the way" code 65 demo "$out/one/loss.csv" --force
expect "a place that cannot be" code 74 demo /proc/nowhere/demo
expect "the version" code 0 "$sspo" --version
expect "the help" code 0 "$sspo" demo --help
expect "the table of ops" code 0 "$sspo" ops
expect "has reasons" grep -q '(no gradient: indices are integers)' "$out/stdout"
expect "the table as JSON" code 0 "$sspo" ops --json

# Ctrl-C stops it within a step. (A background job of a script ignores SIGINT; env puts it back.)
env --default-signal=INT "$sspo" demo --out "$out/long" --steps 100000 --batch 4 --channels 16 --columns 1 2>/dev/null &
sleep 2
kill -INT $!
expect "exit 130 after SIGINT" code 130 wait $!
expect "no report of a run that was stopped" code 1 test -e "$out/long/report.html"

exit "$failed"
