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
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
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
  grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)) }
.pictures img { width: 100% }

table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .25rem 0 }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--rule);
  overflow-wrap: break-word }
th { font-weight: 600 }
tbody th { font-weight: 400; min-width: 7rem }
.right { text-align: right; white-space: nowrap }
dl { display: grid; grid-template-columns: minmax(6rem, auto) 1fr;
  gap: .2rem 1rem; margin: .5rem 0 }
dt { color: var(--muted) }
dd { margin: 0 }

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
