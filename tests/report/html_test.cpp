#include "report/html.hpp"

#include <algorithm>
#include <cmath>

#include "report/chart.hpp"
#include "report/picture.hpp"
#include "report/page_text.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::report;

TEST_CASE("html: text is escaped, whatever takes it") {
  const std::string hostile = "<script>alert('1 & 2')</script>\"";
  const std::string escaped = "&lt;script&gt;alert(&#39;1 &amp; 2&#39;)&lt;/script&gt;&quot;";
  CHECK(text(hostile).code == escaped);
  CHECK(text("caf\xc3\xa9\xff\x01").code == "caf\xc3\xa9\\xff\\x01");
  const io::Image dot = io::make_image(1, 1);
  Page page(hostile, hostile);
  page.section(hostile, paragraph(hostile) + note(hostile) + heading(hostile) + preformatted(hostile) + figure(paragraph("x"), hostile) + folded(hostile, paragraph("x")) +
                            table({.head = {hostile}, .rows = {{{hostile, hostile}}}}) + picture(dot, hostile) + picture_rows({.titles = {hostile}, .rows = {{{picture(dot, "x")}, hostile}}}) +
                            line_chart({.title = hostile, .x_title = hostile, .note = hostile, .series = {{.name = hostile, .x = {1, 2}, .y = {1, 2}}, {.name = hostile, .x = {1, 2}, .y = {2, 3}}}}) +
                            share_bars({.title = hostile, .x_title = hostile, .note = hostile, .labels = {hostile}, .parts = {{hostile, 1, {1}}}}) + dot_plot({.title = hostile, .note = hostile, .dots = {{hostile, 1, 0, 2}}}) +
                            heat_table({.title = hostile, .x_title = hostile, .note = hostile, .columns = {hostile}, .rows = {hostile}, .cells = {{0.5, 3, hostile}}}));
  const std::string html = page.html();
  CHECK(!holds(html, "<script"));
  CHECK(count(html, escaped) >= 25);
}

TEST_CASE("html: a page needs nothing but itself, and leaves out what is empty") {
  Page page("title", "promise");
  page.section("there", paragraph("x"));
  page.section("not there", Html{});
  const std::string html = page.html();
  CHECK(holds(html, "there</h2>"));
  CHECK(!holds(html, "not there"));
  CHECK(!holds(html, "http"));
  CHECK(!holds(html, "<script"));
  CHECK(!holds(html, "url("));
  for (const char* tag : {"html", "head", "body", "section", "h2", "p", "nav"}) CHECK(count(html, std::string("</") + tag + ">") >= 1);
  CHECK(holds(html, "prefers-color-scheme: dark"));
  CHECK(holds(html, "name=\"viewport\""));
}

TEST_CASE("html: numbers as people read them") {
  CHECK(number(-0.0123, 3) == "\u22120.012");
  CHECK(number(-0.0001, 3) == "0.000");
  CHECK(number(NAN, 2) == "\u2013");
  CHECK(signed_number(0.5, 2) == "+0.50");
  CHECK(signed_number(0.0001, 2) == "0.00");
  CHECK(interval(-0.01, 0.052, 3) == "[\u22120.010, 0.052]");
  CHECK(short_number(1.5e-5) == "1.5e\u221205");
  CHECK(seconds(0.42) == "0.42 s");
  CHECK(seconds(12.34) == "12.3 s");
  CHECK(seconds(185.2) == "3 min 05 s");
  CHECK(seconds(59.97) == "1 min 00 s");
  CHECK(bytes(118.0 * 1024 * 1024) == "118 MiB");
  CHECK(bytes(3.5 * 1024 * 1024 * 1024) == "3.50 GiB");
  CHECK(count_of(1, "seed") == "1 seed");
  CHECK(count_of(3, "seed") == "3 seeds");
}

TEST_CASE("chart: ticks are round and inside") {
  CHECK(ticks(0, 1, 4) == std::vector<double>{0, 0.5, 1});
  const std::vector<double> t = ticks(-0.013, 0.031, 4);
  REQUIRE(t.size() >= 3);
  for (const double v : t) {
    CHECK(v >= -0.013);
    CHECK(v <= 0.031);
    CHECK(std::abs(v * 100 - std::round(v * 100)) < 1e-9);
  }
  CHECK(log_ticks(0.04, 0.9).size() >= 4);
  CHECK(log_ticks(1e-8, 1e6).size() <= 15);
}

TEST_CASE("chart: lines have gaps where there is no number, and keep their spikes when they are thinned") {
  const std::string gap = line_chart({.title = "t", .series = {{.name = "a", .x = {1, 2, 3, 4, 5}, .y = {1, 2, NAN, 4, 5}}}}).code;
  CHECK(count(gap.substr(gap.find("class=\"mean\"")), "M") == 2);
  CHECK(line_chart({.title = "t", .series = {{.name = "a", .x = {1, 2}, .y = {NAN, INFINITY}}}}).empty());
  CHECK(line_chart({.title = "t", .series = {}}).empty());
  Series long_one{.name = "a", .x = {}, .y = {}};
  for (int i = 0; i < 20000; ++i) long_one.x.push_back(i), long_one.y.push_back(i == 7777 ? 100 : 0);
  const std::string thin = line_chart({.title = "t", .series = {long_one}}).code;
  CHECK(thin.size() < 12000);
  const std::string line = thin.substr(thin.find("class=\"mean\""));  // the highest value stands at the top of the plot: y of about 20
  CHECK(std::min({line.find(" 18."), line.find(" 19."), line.find(" 20."), line.find(" 18\"")}) != std::string::npos);
  CHECK(!holds(gap + thin, "nan"));
  CHECK(!holds(gap + thin, "inf"));
}

TEST_CASE("chart: cells of a heat table stand in a grid, the colour says on which side of one half, and how far") {
  const Html h = heat_table({.title = "t", .columns = {"0", "500"}, .rows = {"phase 1", "phase 2"}, .cells = {{0.5, 12, "a"}, {1, 8, "b"}, {0, 7, "c"}, {NAN, 0, "d"}}});
  CHECK(count(h.code, "<rect") == 3);  // none of what is not there
  CHECK(count(h.code, "<g><title>") == 3);
  CHECK(count(h.code, "</g>") == 3);
  const auto cell = [&](const char* told) { return h.code.substr(h.code.find("<title>" + std::string(told)), h.code.find("</g>", h.code.find("<title>" + std::string(told))) - h.code.find("<title>" + std::string(told))); };
  CHECK(holds(cell("a"), "fill-opacity:0.00"));
  CHECK(holds(cell("a"), ">0.50</text>"));
  CHECK(holds(cell("a"), ">12</text>"));
  CHECK(holds(cell("b"), "fill:var(--c3);fill-opacity:0.55"));
  CHECK(holds(cell("c"), "fill:var(--c1);fill-opacity:0.55"));
  CHECK(!holds(h.code, "nan"));
  CHECK(holds(h.code, ">phase 2</text>"));
  CHECK(holds(h.code, ">500</text>"));
  CHECK(heat_table({.title = "t"}).empty());
}

TEST_CASE("picture: base64 and data") {
  CHECK(base64("") == "");
  CHECK(base64("M") == "TQ==");
  CHECK(base64("Ma") == "TWE=");
  CHECK(base64("Man") == "TWFu");
  const Html h = picture(io::make_image(3, 2), "three by two", 4);
  CHECK(holds(h.code, "data:image/png;base64,iVBOR"));
  CHECK(holds(h.code, "width=\"12\" height=\"8\""));
  CHECK(!find_picture("/nowhere/at/all.png"));
}
