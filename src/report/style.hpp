// How the pages look: light and dark as the reader's system is, from a telephone's width up.
#pragma once
#include <string_view>

namespace sspo::report {

inline constexpr std::string_view style = R"(
:root { --ground: #fff; --ink: #1b2330; --soft: #566173; --line: #dfe4ec; --panel: #f6f8fb; --link: #1d5bc4;
  --c0: #7a8494; --c1: #2563c9; --c2: #16845b; --c3: #c9571c; --c4: #8a3fc4; --c5: #a8810b; --c6: #0a7f96; --c7: #c22f6b; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161d; --ink: #e4e9f1; --soft: #9fabbd; --line: #2d3542; --panel: #1a202a; --link: #82b1ff;
  --c0: #a5afbf; --c1: #6fa4ff; --c2: #4cc38f; --c3: #f3935c; --c4: #c48bf5; --c5: #dcb743; --c6: #4dbfd4; --c7: #f27aa8; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 1240px; margin: 0 auto; padding: 1.2rem 1rem 3rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; } p { max-width: 48rem; margin: .5rem 0; } .note { color: var(--soft); font-size: .875rem; }
a { color: var(--link); } nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .9rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: .8rem; margin: .8rem 0; align-items: start; }
figure { margin: .8rem 0; padding: .6rem; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; min-width: 0; max-width: 100%; }
.columns > figure { margin: 0; } figcaption { color: var(--soft); font-size: .875rem; line-height: 1.4; }
figcaption b { color: var(--ink); font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 0 .8rem; } .legend span { white-space: nowrap; } .legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; vertical-align: -.05rem; border-radius: 2px; }
.wide { overflow-x: auto; margin: .6rem 0; max-width: 100%; } table { border-collapse: collapse; font-size: .9375rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; vertical-align: top; font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, .words td { text-align: left; white-space: normal; } tbody th { font-weight: normal; } thead th { color: var(--soft); font-weight: normal; border-bottom: 1px solid var(--line); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--line); } th small, td small { display: block; color: var(--soft); font-size: .8125rem; line-height: 1.25; }
img { display: block; image-rendering: pixelated; max-width: 100%; height: auto; background: #fff; } figure > img { margin-bottom: .4rem; }
.pictures { display: grid; gap: .4rem; font-size: .8125rem; line-height: 1.25; color: var(--soft); margin: .6rem 0; } .pictures > div { min-width: 0; } .pictures img { width: 100%; max-width: 128px; }
.pictures b { color: var(--ink); font-weight: 600; } .pictures .across { grid-column: 1 / -1; font-size: .9375rem; color: var(--ink); margin: .2rem 0 .8rem; max-width: 48rem; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .6rem; overflow-x: auto; font-size: .8125rem; line-height: 1.4; }
summary { cursor: pointer; color: var(--link); margin: .6rem 0; }
svg { display: block; width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--soft); } svg text.label { fill: var(--ink); }
svg path { fill: none; stroke-linejoin: round; } .grid { stroke: var(--line); } .axis { stroke: var(--soft); } .every { opacity: .35; stroke-width: 1; } .mean { stroke-width: 1.8; }
@media (max-width: 520px) { body { padding: .6rem .7rem 2rem; } th, td { padding-right: .6rem; } table { font-size: .875rem; } })";

}  // namespace sspo::report
