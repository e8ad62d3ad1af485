// Expected texts: what ftfy.fix_text of ftfy 6.3.1 makes of them with fix_encoding=False.
#include "models/text_repair.hpp"

#include <doctest/doctest.h>

using namespace std::string_view_literals;

TEST_CASE("text_repaired: quotes, ligatures, widths, controls, escapes, entities, line ends, as ftfy") {
  struct Case {
    std::string_view text, repaired;
  };
  const Case cases[] = {
      {"a corgi\342\200\231s head"sv, "a corgi's head"sv},
      {"\342\200\234quoted\342\200\235 \342\200\230single\342\200\231 \342\200\232 \342\200\236"sv, "\042quoted\042 'single' ' \042"sv},
      {"\357\254\201ne \357\254\203 \357\254\205 \304\262 \307\205"sv, "fine ffi \305\277t IJ D\305\276"sv},
      {"\357\274\246\357\275\225\357\275\214\357\275\214\343\200\200\357\275\227\357\275\211\357\275\204\357\275\224\357\275\210 \357\275\261\357\276\236"sv, "Full width \343\202\242\343\202\231"sv},
      {"e\314\201 \342\204\253"sv, "\303\251 \303\205"sv},
      {"\305\211 \302\205 \302\223hi\302\224 \302\200"sv, "'n \342\200\246 \042hi\042 \342\202\254"sv},
      {"\033[31mred\033[0m \033[ \033"sv, "red [ "sv},
      {"a\000b\010c\013d\357\273\277e\357\277\271f\342\201\252g"sv, "abcdefg"sv},
      {"&ldquo;x&rdquo; &amp;lt;b&amp;gt; &amp;amp;amp;"sv, "\042x\042 <b> &"sv},
      {"<b>&ldquo;x&rdquo;</b>"sv, "<b>&ldquo;x&rdquo;</b>"sv},
      {"one\015\012two\015three\342\200\250four\342\200\251five"sv, "one\012two\012three\012four\012five"sv},
      {"\312\274n \342\200\233 \342\200\237 \342\200\262"sv, "'n ' \042 \342\200\262"sv},
  };
  for (const Case& c : cases) CHECK(sspo::clip::text_repaired(c.text) == c.repaired);
}

TEST_CASE("text_repaired: entities of entities end") {
  std::string deep = "&";
  for (int i = 0; i < 1000; ++i) deep.insert(1, "amp;");
  CHECK(sspo::clip::text_repaired(deep).size() < deep.size());
  CHECK(sspo::clip::text_repaired("").empty());
}
