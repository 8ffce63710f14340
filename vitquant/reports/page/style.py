"""What every page looks like. The colors of both schemes, and where they are used."""

# (light, dark). Contrast with the paper is at least 4.5; blue and orange are told apart by people
# who do not see red or green, and no chart needs color alone.
COLORS = {
    "paper": ("#ffffff", "#14181c"),
    "panel": ("#f4f6f8", "#1e242a"),
    "ink": ("#1a1f24", "#e6eaee"),
    "muted": ("#5c6570", "#a3acb5"),
    "rule": ("#d5dae0", "#3a434c"),
    "blue": ("#0066aa", "#6cb8f0"),
    "orange": ("#b84a00", "#f0a040"),
    "teal": ("#1f8577", "#3fb8a6"),
    "purple": ("#6a2a78", "#dda6e6"),
    "red": ("#b3261e", "#ff9085"),
}

# Colors of the steps of a heat map, from low to high, and of the text on them.
HEAT = {
    "light": (
        "#d2fdff",
        "#9adfff",
        "#6bbefa",
        "#499de4",
        "#387bc5",
        "#305c9e",
        "#294071",
        "#1f2743",
    ),
    "dark": (
        "#1d253f",
        "#283c69",
        "#305792",
        "#3a75b5",
        "#4c94d2",
        "#6ab4e8",
        "#94d2f8",
        "#c6efff",
    ),
}
HEAT_TEXT = {
    "light": ("#000000",) * 5 + ("#ffffff",) * 3,
    "dark": ("#ffffff",) * 4 + ("#000000",) * 4,
}

_RULES = """
* { box-sizing: border-box }
html { color-scheme: light dark; -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 2rem 0 .5rem }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 .5rem;
  padding-top: 1rem; border-top: 1px solid var(--rule) }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p, figure, ul { margin: .5rem 0 }
a { color: var(--blue) }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem }
footer { margin-top: 3rem; padding-bottom: 2rem; color: var(--muted) }
code, pre { font: .875em/1.5 ui-monospace, monospace }
pre { padding: .75rem; background: var(--panel); white-space: pre-wrap }
.lead, figcaption, caption, summary { color: var(--muted) }
.alarm { border-left: .3rem solid var(--red); padding: .5rem 1rem; background: var(--panel) }
.scroll { overflow: auto; margin: .5rem 0 }
.tall { max-height: 90vh }
summary { cursor: pointer }
img { max-width: 100%; height: auto; vertical-align: bottom }
.pictures { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)) }
.pictures img { width: 100% }
td img { width: auto; max-height: 3.5rem }

table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .25rem 0 }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--rule);
  overflow-wrap: break-word }
th { font-weight: 600 }
tbody th { font-weight: 400; min-width: 7rem }
.right { text-align: right; white-space: nowrap }
dl { display: grid; grid-template-columns: minmax(6rem, auto) minmax(0, 1fr);
  gap: .2rem 1rem; margin: .5rem 0 }
dt { color: var(--muted) }
dd { margin: 0 }
.pictures dl { grid-template-columns: minmax(0, 1fr); gap: 0; font-size: .875rem;
  color: var(--ink) }
small { white-space: nowrap }
.pictures dt { font-size: .75rem; margin-top: .2rem }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0; color: var(--ink) }
.tiles dt { font-size: .875rem }
.tiles dd { font-size: 1.4rem; font-weight: 600; line-height: 1.2 }

.heat th, .heat td { border: 1px solid var(--paper) }
.heat td { text-align: right; white-space: nowrap }
.heat thead th { position: sticky; top: 0; background: var(--paper); text-align: right; z-index: 2 }
.heat tbody th { position: sticky; left: 0; background: var(--paper); max-width: 45vw; z-index: 1 }
.heat thead th:first-child { left: 0; text-align: left; z-index: 3 }
.heat tbody .group { font-weight: 600; padding-top: .6rem; border-bottom-color: var(--rule) }
.heat .none { color: var(--muted); text-align: center }
.heat .wrong { background: var(--paper); color: var(--red) }
.heat .chosen { outline: 3px solid var(--orange); outline-offset: -3px; font-weight: 700 }
.steps { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .875rem }
.steps > span { display: flex; align-items: center; gap: .4rem }
.steps i { width: 1.4rem; height: 1.1rem; margin-right: -.4rem }
.steps i:last-of-type { margin-right: 0 }
.steps .chosen { outline: 3px solid var(--orange); outline-offset: -3px }

.chart { display: block; width: 100%; max-width: 48rem; height: 17rem; overflow: visible;
  padding: 1.6rem 1rem 2.6rem 3.4rem }
.chart svg { overflow: visible }
.chart text { font-size: .75rem; fill: var(--muted); text-anchor: middle }
.chart .y { text-anchor: end }
.chart .x { text-anchor: start }
.chart .wrong { fill: var(--red); font-size: 1.1rem; font-weight: 700 }
.chart .grid { stroke: var(--rule) }
polyline, .level { fill: none; vector-effect: non-scaling-stroke }
polyline, .legend line { stroke-width: 2px }
.c0 { stroke: var(--blue); fill: var(--blue) }
.c1 { stroke: var(--orange); fill: var(--orange) }
.c2 { stroke: var(--teal); fill: var(--teal) }
.c3 { stroke: var(--purple); fill: var(--purple) }
.c4 { stroke: var(--muted); fill: var(--muted) }
polyline.c1, .lines .c1 { stroke-dasharray: 7 4 }
polyline.c2, .lines .c2 { stroke-dasharray: 2 3 }
polyline.c3, .lines .c3 { stroke-dasharray: 9 3 2 3 }
.chart polyline { fill: none }
rect { stroke: none }
.level { stroke: var(--ink); stroke-width: 1px; stroke-opacity: .4 }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .875rem; margin: .25rem 0 }
.legend > span { display: flex; align-items: center; gap: .4rem }
.legend svg { width: 1.6rem; height: .8rem }
.solid line { stroke-width: .8rem }
.solid .level { stroke-width: 1px }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)) }
.charts .chart { height: 13rem }
.charts figcaption { font-size: .875rem; min-height: 4.5em }
.bar { width: 36%; min-width: 8rem }
table.wide { width: 100%; max-width: 52rem }
.bars { display: block; width: 100%; overflow: visible }
.bars rect { stroke: var(--paper); stroke-width: 1px }
.whisker { stroke: var(--ink); stroke-width: 1.5px }

@media (max-width: 40rem) {
  dl { grid-template-columns: minmax(0, 1fr); gap: 0 }
  dt:not(:first-child) { margin-top: .4rem }
  th, td { padding: .2rem .35rem }
}

@media print {
  :root { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  body { font-size: 10pt }
  .scroll { overflow: visible; max-height: none }
  .heat th { position: static !important }
  h2, h3, caption { break-after: avoid }
  figure, tr, .pictures > * { break-inside: avoid }
  nav { display: none }
}
"""


def css() -> str:
    """The style sheet. Paper is printed in the light colors."""
    return (
        f":root {{ {_variables('light')} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables('dark')} }} }}\n"
        + "".join(
            f".s{i} {{ background: var(--s{i}); color: var(--t{i}) }}\n"
            for i in range(len(HEAT["light"]))
        )
        + _RULES
    )


def _variables(scheme: str) -> str:
    index = 0 if scheme == "light" else 1
    colors = {name: pair[index] for name, pair in COLORS.items()}
    colors |= {f"s{i}": color for i, color in enumerate(HEAT[scheme])}
    colors |= {f"t{i}": color for i, color in enumerate(HEAT_TEXT[scheme])}
    return " ".join(f"--{name}: {color};" for name, color in colors.items())
