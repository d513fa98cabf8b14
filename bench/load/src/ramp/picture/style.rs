//! The colours of a picture, on light pages and on dark ones. Without variables, which not all that draws pictures knows.

struct Colours {
    page: &'static str,
    ink: &'static str,
    faint: &'static str,
    grid: &'static str,
    behind: &'static str,
    idle: &'static str,
    lines: [&'static str; 4],
}

const LIGHT: Colours = Colours {
    page: "#ffffff",
    ink: "#1f2328",
    faint: "#59636e",
    grid: "#d8dee4",
    behind: "#cf222e",
    idle: "#9a6700",
    lines: ["#0969da", "#8250df", "#bc4c00", "#1a7f37"],
};
const DARK: Colours = Colours {
    page: "#0d1117",
    ink: "#e6edf3",
    faint: "#9198a1",
    grid: "#30363d",
    behind: "#f85149",
    idle: "#d29922",
    lines: ["#58a6ff", "#bc8cff", "#f0883e", "#3fb950"],
};
/// Classes of lines, and of what belongs to them, in the order of their colours.
const LINES: [&str; 4] = ["one", "two", "three", "four"];

const SHAPES: &str = "text { font: 12px system-ui, sans-serif; }
.title { font-size: 16px; font-weight: 600; }
.heading { font-weight: 600; }
.faint { font-size: 11px; }
.behind, .idle { opacity: 0.13; }
.column { fill-opacity: 0; }
polyline { fill: none; stroke-width: 2; }
.offered { stroke-dasharray: 5 3; }
.top { stroke-dasharray: 1 3; }
";

/// The style sheet of a picture.
pub(super) fn sheet() -> String {
    let dark = rules(&DARK);
    format!("<style>\n{SHAPES}{}@media (prefers-color-scheme: dark) {{\n{dark}}}\n</style>", rules(&LIGHT))
}

fn rules(colours: &Colours) -> String {
    let Colours { page, ink, faint, grid, behind, idle, lines } = colours;
    let mut rules = format!(
        "text {{ fill: {ink}; }}\n.page {{ fill: {page}; }}\n.grid {{ stroke: {grid}; }}\n.top {{ stroke: {faint}; }}\n\
         text.faint, text.offered {{ fill: {faint}; }}\npolyline.offered {{ stroke: {faint}; }}\n\
         .behind {{ fill: {behind}; }}\n.idle {{ fill: {idle}; }}\n"
    );
    for (class, colour) in LINES.iter().zip(lines) {
        rules.push_str(&format!("polyline.{class} {{ stroke: {colour}; }}\n"));
        rules.push_str(&format!("text.{class}, circle.{class}, rect.{class} {{ fill: {colour}; }}\n"));
    }
    rules
}
