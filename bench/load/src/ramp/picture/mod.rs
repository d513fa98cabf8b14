//! A ramp as a picture: one SVG file without scripts, fonts or anything else from elsewhere, for light and dark pages.
//!
//! The steps stand side by side, so that left is the way up and right the way down; what belongs to one step stands in
//! one column of four panels.

mod axis;
mod style;
mod svg;

use axis::Axis;
use svg::{Anchor, Svg, escaped};

use crate::ramp::figure::{grouped, short, time};
use crate::ramp::report::RampReport;
use crate::ramp::stairs::Direction;
use crate::ramp::step::{Bearing, StepReport};
use crate::report::Latency;

const WIDTH: f64 = 960.0;
/// Where the columns begin and end.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 850.0;
/// Height of a panel, and the room for its heading.
const PANEL: f64 = 130.0;
const HEADING: f64 = 36.0;
/// Letters of a line of the sentence.
const LINE_LETTERS: usize = 125;
/// Lines of text at the head are that far apart.
const LEADING: f64 = 18.0;
/// Names of lines at the right are at least that far apart.
const NAME_HEIGHT: f64 = 13.0;

/// One line of a panel: its class, its name, and its value at each step, if there is one.
struct Series<'a> {
    class: &'a str,
    name: &'a str,
    values: Vec<Option<f64>>,
}

struct Picture<'a> {
    report: &'a RampReport,
    svg: Svg,
    /// Where the panels begin.
    top: f64,
}

/// The whole file.
pub(super) fn draw(report: &RampReport) -> String {
    let lines = wrapped(&report.sentence, LINE_LETTERS);
    let top = 44.0 + LEADING * (lines.len() + 1) as f64;
    let height = top + 4.0 * (PANEL + HEADING) + 44.0;
    let mut picture = Picture { report, svg: Svg::default(), top };
    picture.svg.raw(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"name what\">\n<title id=\"name\">Load up and down again: {}</title>\n\
         <desc id=\"what\">{}</desc>",
        escaped(&report.broker.provider),
        escaped(&report.sentence),
    ));
    picture.svg.raw(&style::sheet());
    picture.svg.rectangle("page", (0.0, 0.0), (WIDTH, height), "");
    picture.head(&lines);
    picture.columns();
    picture.rates();
    picture.latencies();
    picture.backlog();
    picture.cpu();
    picture.pointers();
    picture.svg.raw("</svg>");
    picture.svg.finish()
}

impl Picture<'_> {
    fn head(&mut self, lines: &[String]) {
        let broker = &self.report.broker;
        let title = format!("{} {}: load up and down again", broker.provider, broker.version);
        self.svg.text("title", (16.0, 26.0), Anchor::Start, &title);
        self.svg.text("faint", (16.0, 26.0 + LEADING), Anchor::Start, &described(self.report));
        for (index, line) in lines.iter().enumerate() {
            let y = 26.0 + LEADING * (index + 2) as f64;
            self.svg.text("sentence", (16.0, y), Anchor::Start, line);
        }
    }

    fn width(&self) -> f64 {
        (RIGHT - LEFT) / self.report.steps.len().max(1) as f64
    }

    /// The middle of a column.
    fn middle(&self, step: usize) -> f64 {
        LEFT + self.width() * (step as f64 + 0.5)
    }

    fn foot(&self, panel: usize) -> f64 {
        self.top + (PANEL + HEADING) * (panel + 1) as f64
    }

    /// What goes through all panels: colours for who falls behind, and the rates at the foot.
    fn columns(&mut self) {
        let (width, report) = (self.width(), self.report);
        for (index, step) in report.steps.iter().enumerate() {
            let class = match step.bearing {
                Bearing::KeepsUp => continue,
                Bearing::FallsBehind => "behind",
                Bearing::GeneratorFallsBehind => "idle",
            };
            for panel in 0..4 {
                let place = (LEFT + width * index as f64, self.foot(panel) - PANEL);
                self.svg.rectangle(class, place, (width, PANEL), "");
            }
        }
        // A label is about forty wide.
        let stride = (40.0 / width).ceil().max(1.0) as usize;
        for (index, step) in report.steps.iter().enumerate().step_by(stride) {
            let place = (self.middle(index), self.foot(3) + 16.0);
            self.svg.text("faint", place, Anchor::Middle, &short(step.offered));
        }
        let foot = self.foot(3) + 34.0;
        self.svg.text("faint", (LEFT, foot), Anchor::Start, "offered messages a second, up");
        self.svg.text("faint", (RIGHT, foot), Anchor::End, "and down again");
        let up = report.steps.iter().filter(|step| step.direction == Direction::Up).count();
        let x = self.middle(up.saturating_sub(1));
        self.svg.line("top", (x, self.foot(0) - PANEL), (x, self.foot(3)));
    }

    fn rates(&mut self) {
        let series = [
            self.series("offered", "due", |step| Some(step.due_rate)),
            self.series("one", "delivered", |step| Some(step.delivery_rate)),
        ];
        let axis = self.logarithmic(0, &series);
        self.panel(
            0,
            "deliveries a second (logarithmic; shaded where less than 95 % of what was due came)",
            &axis,
            short,
        );
        for one in &series {
            let half = self.width() / 2.0;
            let stairs = one.values.iter().enumerate().flat_map(|(index, value)| {
                let (x, y) = (self.middle(index), axis.at(value.unwrap_or(0.0)));
                [(x - half, y), (x + half, y)]
            });
            let stairs: Vec<(f64, f64)> = stairs.collect();
            self.svg.path(one.class, &stairs);
        }
        self.names(&series, &axis);
    }

    fn latencies(&mut self) {
        let latency = |step: &StepReport, of: fn(&Latency) -> f64| step.latency_us.as_ref().map(of);
        let series = [
            self.series("three", "p99.9", |step| latency(step, |latency| latency.p99_9)),
            self.series("two", "p99", |step| latency(step, |latency| latency.p99)),
            self.series("one", "p50", |step| latency(step, |latency| latency.p50)),
        ];
        let axis = self.logarithmic(1, &series);
        self.panel(1, "latency from when a message was due (logarithmic)", &axis, time);
        series.iter().for_each(|one| self.dotted(one, &axis));
        self.names(&series, &axis);
    }

    /// What the broker has, and on top of it what it was never given.
    fn backlog(&mut self) {
        let report = self.report;
        let both = report.steps.iter().map(|step| (step.backlog + step.unsent) as f64);
        let axis = Axis::linear(both, self.foot(2), self.foot(2) - PANEL);
        self.panel(2, "at the end of the step: deliveries under way, and messages that no socket took", &axis, short);
        let (width, foot) = (self.width() * 0.7, self.foot(2));
        for (index, step) in report.steps.iter().enumerate() {
            let x = self.middle(index) - width / 2.0;
            let (lower, upper) = (axis.at(step.backlog as f64), axis.at((step.backlog + step.unsent) as f64));
            self.svg.rectangle("two", (x, lower), (width, foot - lower), "");
            self.svg.rectangle("three", (x, upper), (width, lower - upper), "");
        }
        self.svg.text("two", (RIGHT + 6.0, foot - 4.0), Anchor::Start, "under way");
        self.svg.text("three", (RIGHT + 6.0, foot - 4.0 - NAME_HEIGHT), Anchor::Start, "not sent");
    }

    fn cpu(&mut self) {
        let series = [self.series("four", "broker CPU", |step| step.cpu.broker_seconds_per_million)];
        let axis = self.logarithmic(3, &series);
        let heading = if series[0].values.iter().all(Option::is_none) {
            "CPU seconds of the broker: not measured (--broker-pid)"
        } else {
            "CPU seconds of the broker per million deliveries (logarithmic)"
        };
        self.panel(3, heading, &axis, short);
        self.dotted(&series[0], &axis);
        self.names(&series, &axis);
    }

    /// Shows a step's figures to who points at its column.
    fn pointers(&mut self) {
        let (width, report) = (self.width(), self.report);
        let (top, foot) = (self.foot(0) - PANEL, self.foot(3));
        for (index, step) in report.steps.iter().enumerate() {
            let place = (LEFT + width * index as f64, top);
            self.svg.rectangle("column", place, (width, foot - top), &told(step));
        }
    }

    fn series<'a>(&self, class: &'a str, name: &'a str, value: impl Fn(&StepReport) -> Option<f64>) -> Series<'a> {
        Series { class, name, values: self.report.steps.iter().map(value).collect() }
    }

    fn logarithmic(&self, panel: usize, series: &[Series<'_>]) -> Axis {
        let values = series.iter().flat_map(|one| one.values.iter().flatten().copied());
        Axis::logarithmic(values, self.foot(panel), self.foot(panel) - PANEL)
    }

    fn panel(&mut self, panel: usize, heading: &str, axis: &Axis, label: fn(f64) -> String) {
        let place = (LEFT, self.foot(panel) - PANEL - 8.0);
        self.svg.text("heading", place, Anchor::Start, heading);
        for tick in axis.ticks() {
            let y = axis.at(tick);
            self.svg.line("grid", (LEFT, y), (RIGHT, y));
            self.svg.text("faint", (LEFT - 6.0, y + 4.0), Anchor::End, &label(tick));
        }
    }

    /// A line with its points; it breaks where a step has no value.
    fn dotted(&mut self, series: &Series<'_>, axis: &Axis) {
        let points: Vec<Option<(f64, f64)>> = series
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| value.map(|value| (self.middle(index), axis.at(value))))
            .collect();
        for part in points.split(Option::is_none) {
            let part: Vec<(f64, f64)> = part.iter().flatten().copied().collect();
            if part.len() > 1 {
                self.svg.path(series.class, &part);
            }
            part.iter().for_each(|&point| self.svg.dot(series.class, point));
        }
    }

    /// The names of lines at their ends, apart from each other, the uppermost line first.
    fn names(&mut self, series: &[Series<'_>], axis: &Axis) {
        let ends =
            series.iter().filter_map(|one| Some((axis.at(one.values.iter().rev().find_map(|value| *value)?), one)));
        let mut ends: Vec<(f64, &Series<'_>)> = ends.collect();
        ends.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut free = f64::NEG_INFINITY;
        for (y, one) in ends {
            let y = y.max(free);
            self.svg.text(one.class, (RIGHT + 6.0, y + 4.0), Anchor::Start, one.name);
            free = y + NAME_HEIGHT;
        }
    }
}

/// The load in a line.
fn described(report: &RampReport) -> String {
    let arguments = &report.arguments;
    let kind = if arguments.topic { "topic" } else { "queue" };
    let persistence = if arguments.persistent() { "persistent" } else { "non-persistent" };
    let counted = |number: u16, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "{persistence}, {} characters; {}, {}, {}; prefetch {}, acknowledged by {}; steps of {} s, the first {} s of \
         each left out",
        arguments.size,
        counted(arguments.producers, "producer"),
        counted(arguments.consumers, "consumer"),
        counted(arguments.destinations, kind),
        arguments.prefetch(),
        arguments.ack_every,
        arguments.ramp.step_seconds,
        arguments.ramp.step_warm_up(),
    )
}

/// A step in words.
fn told(step: &StepReport) -> String {
    let (due, sent, delivered) = (grouped(step.due_rate), grouped(step.send_rate), grouped(step.delivery_rate));
    let mut text = format!(
        "{}: {} messages/s offered, {sent} sent\n{due} deliveries/s due, {delivered} came",
        step.direction,
        grouped(step.offered)
    );
    if let Some(Latency { p50, p99, p99_9, .. }) = step.latency_us {
        text.push_str(&format!("\np50 {}, p99 {}, p99.9 {}", time(p50), time(p99), time(p99_9)));
    }
    text.push_str(&format!("\n{} under way, {} not sent", grouped(step.backlog as f64), grouped(step.unsent as f64)));
    if let Some(seconds) = step.cpu.broker_seconds_per_million {
        text.push_str(&format!("\nbroker CPU {seconds:.2} s per million deliveries"));
    }
    text
}

/// Lines of at most so many letters, if no word is longer.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > letters {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::tests::parsed;
    use crate::ledger::Verdict;
    use crate::ramp::outcome::Outcome;
    use crate::ramp::step::tests::step;
    use crate::report::Broker;
    use crate::report::Drain;

    fn report(steps: Vec<StepReport>) -> RampReport {
        let (provider, version) = ("A<b> & \"c\" \u{1}".to_owned(), "0.1".to_owned());
        let outcome = Outcome::new(&steps, None);
        RampReport {
            arguments: parsed("--ramp"),
            broker: Broker { provider, version, openwire: 12, tight: false, cache: 1024 },
            closed: None,
            steps,
            drain: Drain { backlog: 0, left: 0, seconds: 0.0, delivery_rate: 0.0 },
            sentence: outcome.to_string(),
            outcome,
            verification: Verdict::default(),
        }
    }

    fn steps() -> Vec<StepReport> {
        use Direction::{Down, Up};
        vec![
            step(Up, 10_000.0, Bearing::KeepsUp, 10_000.0, Some(90.0)),
            step(Up, 100_000.0, Bearing::FallsBehind, 1_000.0, None),
            step(Up, 1_000_000.0, Bearing::GeneratorFallsBehind, 900_000.0, Some(3e6)),
            step(Down, 100_000.0, Bearing::KeepsUp, 100_000.0, Some(900.0)),
            step(Down, 10_000.0, Bearing::KeepsUp, 10_000.0, Some(95.0)),
        ]
    }

    /// Whether elements are closed in their order, attributes are quoted and once, and `&` and `<` are nothing but markup: all that
    /// can go wrong in a file without a declaration, comments or sections. Gives the names of all elements.
    fn well_formed(text: &str) -> Result<Vec<String>, String> {
        let (mut open, mut names, mut rest) = (Vec::new(), Vec::new(), text.trim());
        while let Some(start) = rest.find('<') {
            content(&rest[..start])?;
            if open.is_empty() && !names.is_empty() {
                return Err("more than one root".to_owned());
            }
            let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
            let tag = &rest[start + 1..end];
            if let Some(name) = tag.strip_prefix('/') {
                let opened = open.pop();
                if opened.as_deref() != Some(name) {
                    return Err(format!("</{name}> closes {opened:?}"));
                }
            } else {
                let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
                let (name, found) = tag.split_once(' ').unwrap_or((tag, ""));
                attributes(found)?;
                names.push(name.to_owned());
                if !is_closed {
                    open.push(name.to_owned());
                }
            }
            rest = &rest[end + 1..];
        }
        let is_whole = open.is_empty() && rest.is_empty();
        if is_whole { Ok(names) } else { Err(format!("open at the end: {open:?} {rest:?}")) }
    }

    fn content(text: &str) -> Result<(), String> {
        let bare =
            ["&amp;", "&lt;", "&gt;", "&quot;"].iter().fold(text.to_owned(), |text, entity| text.replace(entity, ""));
        let refused = |letter: char| letter == '&' || letter == '<' || letter.is_control() && letter != '\n';
        if bare.contains(refused) { Err(format!("in a text: {text:?}")) } else { Ok(()) }
    }

    fn attributes(text: &str) -> Result<(), String> {
        let (mut rest, mut names) = (text.trim(), Vec::new());
        while !rest.is_empty() {
            let (name, behind) = rest.split_once("=\"").ok_or(format!("no attribute: {rest:?}"))?;
            let (value, behind) = behind.split_once('"').ok_or(format!("a value without an end: {rest:?}"))?;
            let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '-');
            if !is_name || names.contains(&name) {
                return Err(format!("an attribute {name:?}"));
            }
            content(value)?;
            names.push(name);
            rest = behind.trim_start();
        }
        Ok(())
    }

    #[test]
    fn the_check_finds_what_is_not_well_formed() {
        well_formed("<a b=\"c\" d=\"&amp;\"><e/>f</a>").unwrap();
        for text in [
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a>&</a>",
            "<a b=c/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a b=\"&\"/>",
            "<a/>x",
            "<a>\u{1}</a>",
        ] {
            assert!(well_formed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_picture_is_well_formed_whatever_the_ramp_was() {
        for steps in [steps(), vec![], steps()[1..2].to_vec(), steps()[..1].to_vec()] {
            let drawn = draw(&report(steps.clone()));
            let names = well_formed(&drawn).unwrap_or_else(|error| panic!("{error}: {drawn}"));
            assert_eq!(names.first().map(String::as_str), Some("svg"));
            assert!(!drawn.contains("NaN") && !drawn.contains("inf\""), "{drawn}");
            assert!(!names.iter().any(|name| name == "script" || name == "image"));
            assert_eq!(drawn.matches("http").count(), 1, "the name of the format alone");
            let titles = names.iter().filter(|name| *name == "title").count();
            assert_eq!(titles, steps.len() + 1, "a title for each step and one for all");
        }
    }

    #[test]
    fn the_picture_shows_who_fell_behind() {
        let drawn = draw(&report(steps()));
        let count = |class: &str| drawn.matches(&format!("<rect class=\"{class}\"")).count();
        assert_eq!([count("behind"), count("idle"), count("column")], [4, 4, 5]);
        assert!(drawn.contains("prefers-color-scheme: dark"));
        assert!(drawn.contains("p50 45 us, p99 90 us, p99.9 180 us"));
        // A step in which nothing arrived breaks the lines of latencies.
        assert_eq!(drawn.matches("<polyline class=\"three\"").count(), 1);
    }

    #[test]
    fn long_sentences_are_wrapped() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("", 7), [""]);
        assert_eq!(wrapped("longer than that", 3), ["longer", "than", "that"]);
    }
}
