#!/usr/bin/env bash
# `sspo data` as its users drive it.   tests/cli/data_test.sh path/to/sspo
set -uo pipefail
sspo=$1
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
source "$here/lib.sh"

# --- shapes: made, checked, judged
works data shapes --out scenes --count 40 --seed 7 --json
says '"samples":40' '"seed":7' '"train":[0-9]+,"held_out":[0-9]+'
works data check scenes
says '^40 samples$' '^pictures  40 PNG$' '^splits    [0-9]+ held-out, [0-9]+ train$'
works data check scenes/metadata.jsonl --json
says '"samples": 40' '"bad": 0' '"PNG": 40' '"errors": \[\]'
works data shapes --judge scenes
says '^40 of 40 pictures show their captions$'
works data shapes --out again --count 40 --seed 7
expect "the same scenes again" cmp scenes/metadata.jsonl again/metadata.jsonl
expect "and the same pictures" diff -r scenes again
works data shapes --out others --count 40 --seed 8
expect "another seed, other scenes" differs scenes/metadata.jsonl others/metadata.jsonl
cp others/000000.png scenes/000001.png  # what it shows is not what the caption says
works data shapes --judge scenes
says '^39 of 40 pictures show their captions$' '^000001.png: not an? .*: it shows '
works data shapes --judge scenes --json
says '"right": 39' '"file_name": "000001.png"'
printf '{"file_name": "000000.png", "text": "a pink circle"}\n' >others/pink.jsonl
fails 65 "others/pink.jsonl:1: text: no caption of such a scene: no colour .expected one of red, .*, got 'pink'" data shapes --judge others/pink.jsonl
fails 65 'again: has content already; --force' data shapes --out again
fails 64 '--count' data shapes --out none --count 0
fails 64 '--size' data shapes --out none --size 8
fails 64 'see sspo data shapes --help' data shapes
fails 64 'see sspo data shapes --help' data shapes --out none --judge scenes
fails 64 'see sspo data --help' data

# --- check: what is wrong with lines and pictures
head -n 4 again/metadata.jsonl >bad.jsonl
mv bad.jsonl again/bad.jsonl
printf 'not JSON\n{"file_name": "000001.png"}\n{"file_name": "none.png", "text": "x"}\n{"file_name": "../scenes/000001.png", "text": "x"}\n{"file_name": "cut.png", "text": "x"}\r\n\n' >>again/bad.jsonl
head -c 100 again/000000.png >again/cut.png
fails 65 'again/bad.jsonl:5@[0-9]+: not JSON' data check again/bad.jsonl
status=0
"$sspo" data check again/bad.jsonl --skip-bad 4 >out 2>err || status=$?
expect "one bad sample too many ends it" test "$status $(wc -l <err)" = '65 5' -a ! -s out
expect "and is told" grep -qE '^error: .*cut.png.*; named in again/bad.jsonl:9; 4 bad samples were skipped before' err
says_all() { expect "$1 bad samples are told" test "$(grep -c '^skipped: ' err)" = "$1"; }
works data check again/bad.jsonl --skip-bad 5
says '^4 samples, 5 bad ones skipped$'
says_all 5
for line in ':5@0|:5@1' ':6: text: is missing' ':7: file_name: there is no such picture' ':8: file_name: not a plain relative name' 'cut.png.*bad.jsonl:9'; do
  expect "a bad sample: $line" grep -qE "$line" err
done
works data check again/bad.jsonl --skip-bad 100 --json
says '"samples": 4' '"bad": 5' 'bad.jsonl:6: text: is missing'
fails 64 '--skip-bad' data check again --skip-bad -1

# two drawings of each caption, as preference pairs
works data shapes --out styles --count 40 --styles --json
says '"samples":[0-9]*[02468],'
works data check styles
says '^styles    ([0-9]+) filled, \1 hollow$' 'preference pairs$'
expect "each caption once in a style" test "$(grep '"style":"filled"' styles/metadata.jsonl | grep -o '"text":"[^"]*"' | sort | uniq -d | wc -l)" = 0

# --- check: captions beside the pictures, preference pairs
mkdir side && cp others/000000.png side/cat.png && printf 'a cat\n' >side/cat.txt
works data check side --json
says '"captions": "beside the pictures"' '"samples": 1'
: >side/dog.txt
fails 65 'side/dog.txt: a caption without a picture' data check side
mkdir pairs && cp others/00000[01].png pairs
printf '{"winner_file_name": "000000.png", "loser_file_name": "000001.png", "text": "x"}\n' >pairs/metadata.jsonl
works data check pairs
says '^1 samples, 1 preference pairs$' '^pictures  2 PNG$'
rm pairs/000001.png
fails 65 'pairs/metadata.jsonl:1: loser_file_name: there is no such picture' data check pairs
mkdir empty
fails 65 'empty: no data set is here' data check empty
fails 74 'nowhere: cannot be opened' data check nowhere

# --- emoji: real ones where the packages are; what is missing is named
font=/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf names=/usr/share/unicode/cldr/common pngs=(/usr/share/rubygems-integration/all/gems/gemojione-*/assets/png)
"$sspo" data emoji --out none --font nowhere.ttf 2>err
if grep -q 'built without it' err; then
  echo "skipped: sspo data emoji, for want of SSPO_EMOJI"
else
  fails 65 'nowhere: the names of emoji are not there; apt-get install fonts-noto-color-emoji unicode-cldr-core ruby-gemojione' data emoji --out none --font again/cut.png --names nowhere
  fails 65 'nowhere.ttf: the emoji of the first style.*are not there; apt-get install' data emoji --out none --font nowhere.ttf
  expect "no folder of a run that failed" test ! -e none
fi
if grep -q 'built without it' err; then
  :
elif [[ -e $font && -e $names && -d ${pngs[0]} ]]; then
  works data emoji --out emoji --json
  says '"names":1099,"train":995,"held_out":104,"samples":2198'
  if [[ $(sha256sum <$font) == e5899ed38b8ed83e* ]]; then says '"sha256":"cd614c38bc998ae73a98ce5955c60d3bbdcefa856ec51c08f70566905951d07b"'; else echo "another version of the font: its hash is not compared"; fi
  works data check emoji
  says '^2198 samples, 1099 preference pairs$' '^styles    1099 emojione, 1099 noto$' '^splits    208 held-out, 1990 train$'
  expect "312 names of the theme, 284 of them for training" test "$(grep -c '"style": *"noto".*"theme": *"yes"' emoji/metadata.jsonl) $(grep '"style": *"noto".*"theme": *"yes"' emoji/metadata.jsonl | grep -c '"split": *"train"')" = "312 284"
  fails 65 'cut.png: is no font' data emoji --out none --font again/cut.png
else
  echo "skipped: sspo data emoji, for want of fonts-noto-color-emoji, unicode-cldr-core, ruby-gemojione"
fi

for verb in 'data check' 'data shapes' 'data emoji'; do
  works $verb --help
  says '^Examples:$'
done

exit "$failed"
