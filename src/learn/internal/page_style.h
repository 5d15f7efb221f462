#pragma once

#include <string_view>

namespace nidus::learn::internal {

// The style sheet of a report's page. Colours come from variables, of which dark mode and print set others;
// benign is blue and attack orange, which people who cannot tell red from green still tell apart.
inline constexpr std::string_view kPageStyle = R"(
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --soft: #59636e; --line: #d5dae0; --panel: #f5f7f9;
  --benign: #2a6fb0; --attack: #c9550d; --a: #1f4e9c; --b: #9a4700; --heat: 42 111 176; --wrong: 214 104 30; --warn: #fff4e0; --warnline: #d98a00; }
@media (prefers-color-scheme: dark) { :root { --paper: #15191d; --ink: #e4e8ec; --soft: #a0abb6; --line: #38414a;
  --panel: #1d2328; --benign: #6cb0ee; --attack: #ff9a52; --a: #8ab8ff; --b: #ffb074; --heat: 96 165 230; --wrong: 240 140 70; --warn: #2e2614; --warnline: #c98a1e; } }
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; background: var(--paper); color: var(--ink); }
body { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .2rem; }
p { max-width: 46rem; margin: .4rem 0; }
.lead { font-size: 1.12rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
figcaption { max-width: 34rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.55rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { display: block; color: var(--soft); font-size: .85rem; }
.warn { background: var(--warn); border-left: 4px solid var(--warnline); padding: .6rem 1rem; border-radius: .25rem; margin: 1rem 0; }
.warn h2 { border: 0; margin: 0; padding: 0; font-size: 1rem; }
.warn ul { margin: .3rem 0; padding-left: 1.2rem; }
.warn li { overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.5rem 2rem; }
figure { margin: 0; break-inside: avoid; min-width: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font-size: 13px; font-family: inherit; }
svg .tick { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .title { fill: var(--soft); }
svg .axis { fill: none; stroke: var(--soft); }
svg .grid { stroke: var(--line); }
svg .chance { fill: none; stroke: var(--soft); stroke-dasharray: 5 5; }
svg .a { fill: none; stroke: var(--a); stroke-width: 2.5; stroke-linejoin: round; }
svg .b { fill: none; stroke: var(--b); stroke-width: 2.5; stroke-dasharray: 9 4; stroke-linejoin: round; }
svg .dot-a { fill: var(--a); stroke: var(--paper); stroke-width: 2; }
svg .dot-b { fill: var(--b); stroke: var(--paper); stroke-width: 2; }
svg .hint { fill: transparent; }
svg .hint:hover { fill: var(--ink); }
svg .whisker { fill: none; stroke: var(--a); stroke-width: 1.5; }
svg .unsure { fill: var(--soft); opacity: .12; }
svg .benign { fill: var(--benign); }
svg .attack { fill: var(--attack); }
svg .mark { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; fill: none; }
svg .note { font-size: 13px; }
.key { display: inline-block; width: 1.6em; height: 0; border-top: 3px solid; vertical-align: middle; margin-right: .4em; }
.key-a { border-color: var(--a); } .key-b { border-color: var(--b); border-top-style: dashed; }
.box { display: inline-block; width: .8em; height: .8em; border-radius: 2px; vertical-align: -.05em; margin-right: .35em; }
.box-benign { background: var(--benign); } .box-attack { background: var(--attack); }
.wide { overflow-x: auto; }
.heat { break-inside: avoid; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; break-inside: auto; }
caption { text-align: left; padding-bottom: .4rem; caption-side: top; }
th, td { padding: .28rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; max-width: 22rem; }
thead th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
tbody th { font-weight: 400; }
tr { break-inside: avoid; }
.heat td { background: rgb(var(--wrong) / calc(var(--s) * .55)); border: 1px solid var(--line); text-align: center; min-width: 4.5rem; }
.heat td small { display: block; color: var(--ink); opacity: .75; }
.heat td.right { background: rgb(var(--heat) / calc(var(--s) * .55)); }
.bar { position: relative; display: inline-block; width: 8rem; height: .8rem; background: var(--panel); border: 1px solid var(--line); border-radius: 2px; vertical-align: middle; }
.bar i { position: absolute; top: 0; bottom: 0; background: rgb(var(--heat) / .45); }
.bar b { position: absolute; top: -2px; bottom: -2px; width: 2px; margin-left: -1px; background: var(--ink); }
.share { display: inline-block; width: 9rem; height: .8rem; background: var(--panel); margin-right: .6rem; vertical-align: middle; }
.share i { display: block; height: 100%; border-radius: 0 2px 2px 0; }
.share.one i { background: rgb(var(--heat) / .9); } .share.two i { background: rgb(var(--heat) / .6); } .share.three i { background: rgb(var(--wrong) / .8); }
.shares td { min-width: 14rem; } .shares td span:last-child { display: inline-block; width: 4.2rem; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--soft); }
.whys { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 31rem), 1fr)); gap: .9rem; margin: .4rem 0 1.4rem; }
.why { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .8rem .7rem; min-width: 0; overflow-x: auto; break-inside: avoid; }
.why p { margin: 0 0 .3rem; overflow-wrap: anywhere; } .why b { font-variant-numeric: tabular-nums; margin-right: .5rem; }
.why table { font-size: .86rem; width: 100%; } .why th, .why td { padding: .12rem .4rem; } .why th:first-child { min-width: 6rem; max-width: 15rem; }
.why td:nth-child(3), .why .rest { color: var(--soft); }
.push { position: relative; display: inline-block; width: 6rem; height: .8rem; margin-right: .5rem; vertical-align: middle; background: linear-gradient(var(--soft), var(--soft)) center / 1px 100% no-repeat; }
.push i { position: absolute; top: 0; bottom: 0; }
.push .up { left: 50%; background: var(--attack); } .push .down { right: 50%; background: var(--benign); }
.raises { color: var(--attack); } .lowers { color: var(--benign); }
.switch { display: flex; flex-wrap: wrap; gap: .2rem .9rem; font-size: .9rem; margin-bottom: .2rem; }
.roc > input { margin: 0 .3rem 0 0; vertical-align: middle; }
.roc > label { margin-right: 1rem; font-size: .9rem; }
.roc #roc-linear:not(:checked) ~ .linear, .roc #roc-log:not(:checked) ~ .log { display: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
a { color: var(--a); }
:focus-visible { outline: 3px solid var(--a); outline-offset: 2px; }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --panel: #f5f5f5; --benign: #2a6fb0;
    --attack: #c9550d; --a: #1f4e9c; --b: #9a4700; --heat: 42 111 176; --wrong: 214 104 30; --warn: #fff4e0; --warnline: #d98a00; }
  html { font-size: 11px; } body { max-width: none; padding: 0; }
  .charts { grid-template-columns: 1fr 1fr; gap: 1rem; }
  .roc .linear, .roc .log { display: block !important; } .roc > input, .roc > label { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } h2 { break-after: avoid; } .wide { overflow: visible; } }
)";

}  // namespace nidus::learn::internal
