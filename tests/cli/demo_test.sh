#!/usr/bin/env bash
# The main job whole, at a size at which nothing is learned.   tests/cli/demo_test.sh path/to/sspo
set -uo pipefail
sspo=$1
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
source "$here/lib.sh"

smoke=(demo --size smoke --data shapes)
works "${smoke[@]}" --out one --json
says '"model": "base"' '"model": "sft"' '"model": "dpo"' '"model": "spin"' '"model": "sspo"'
for what in data/metadata.jsonl vae/model/vae judge/model/judge base/model/model_index.json runs/few-sspo-1/gate.json runs/few-sspo-1/pool/1/unet scores/few-dpo-1/pictures.png \
            scores/autoencoder.json recipes/sspo.toml report.html; do
  expect "$what is there" test -e "one/$what"
done
expect "a report that loads nothing" test -z "$(grep -oE '(src|href)="[^#d][^"]*"' one/report.html)"
expect "each stage is done" test -z "$(grep '"done": false' one/demo.json)"

# Once more: nothing is done twice.
before=$(find one -type f ! -name lock ! -name report.html | sort | xargs cksum)
works "${smoke[@]}" --out one
says '^base '
expect "no stage again" test -z "$(grep '^\[' err)"
expect "nothing has changed" test "$before" = "$(find one -type f ! -name lock ! -name report.html | sort | xargs cksum)"

# Killed and stopped on its way, it goes on, to the same scores.
"$sspo" "${smoke[@]}" --out two >/dev/null 2>&1 &
sleep 2
kill -9 $!
wait $! 2>/dev/null
env --default-signal=INT "$sspo" "${smoke[@]}" --out two >/dev/null 2>err &  # a background job of a script ignores SIGINT; env puts it back
sleep 2
kill -INT $!
wait $!
status=$?
if ((status != 0)); then
  expect "exit 130 after SIGINT" test "$status" = 130
  expect "that says how to go on" grep -q 'the same command goes on' err
fi
works "${smoke[@]}" --out two
for name in base few-sft-1 few-sspo-1 few-spin-1; do
  expect "scores of $name are the same after a kill" cmp "one/scores/$name/scores.jsonl" "two/scores/$name/scores.jsonl"
done

# Refused, in one line.
fails 65 'one: holds a demo of other options' demo --size smoke --data shapes --seeds 2 --out one
mkdir mine && echo mine >mine/notes.txt
fails 65 'mine: has content that is no demo' "${smoke[@]}" --out mine
fails 64 '--size' demo --size huge --out x
fails 64 'nonsense' demo --out x --nonsense
fails 64 '--out' demo
fails 74 'proc' "${smoke[@]}" --out /proc/nowhere/demo

# The program itself.
fails 64 'verb'
works --version
works demo --help
works ops
says '\(no gradient: indices are integers\)'
works ops --json

exit "$failed"
