"""Text that is wrapped in the source and not in the page."""

_OWN_LINE = ("- ", "|", "#", "<!--", "```", "1. ", "2. ", "3. ")


def unwrap(text: str) -> str:
    """Markdown with one line for each paragraph and each item; code and tables stay as they are."""
    lines: list[str] = []
    in_code = joins = False
    for line in text.strip("\n").splitlines():
        fence = line.startswith("```")
        if joins and line and not in_code and not line.startswith(_OWN_LINE):
            lines[-1] += f" {line.strip()}"
            continue
        lines.append(line)
        in_code ^= fence
        joins = bool(line) and not in_code and not line.startswith(("|", "#", "<!--", "```"))
    return "\n".join(lines) + "\n"
