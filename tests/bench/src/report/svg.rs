//! Plots: bars for one value of each piece of work and server, lines for what grows. On a logarithmic axis half as much is equally far
//! from the same everywhere.

use super::table::number;
use crate::servers::Kind;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
/// Of a bar, without the space between bars.
const BAR: f64 = 9.0;
/// Between the bars of two pieces of work.
const GAP: f64 = 12.0;
/// Left of the bars, for what they are of.
const LABELS: f64 = 230.0;
/// Right of the longest bar, for its number.
const NUMBERS: f64 = 60.0;
/// For title and legend.
const TOP: f64 = 62.0;
/// Height of a plot of lines.
const HEIGHT: f64 = 340.0;

/// Bars, longer ones for more; on a logarithmic axis where values are of different orders.
pub(super) fn bars(title: &str, groups: &[(&str, Vec<(Kind, f64)>)], scale: Scale) -> String {
    let kinds = present(groups.iter().flat_map(|(_, values)| values).map(|(kind, _)| *kind));
    let axis = Axis::new(
        scale,
        groups.iter().flat_map(|(_, values)| values).map(|(_, value)| *value),
        LABELS,
        WIDTH - NUMBERS,
    );
    let count: usize = groups.iter().map(|(_, values)| values.len()).sum();
    let height = TOP + count as f64 * (BAR + 2.0) + groups.len() as f64 * GAP + 24.0;
    let mut plot = Plot::new(title, height, &kinds);
    for tick in axis.ticks() {
        let x = axis.at(tick);
        plot.line((x, TOP - 6.0), (x, height - 20.0), "#e3e3e3");
        plot.text((x, height - 6.0), "middle", &number_on_axis(tick));
    }
    let mut y = TOP;
    for (label, values) in groups {
        let middle = y + values.len() as f64 * (BAR + 2.0) / 2.0 + 3.0;
        plot.text((LABELS - 8.0, middle), "end", label);
        for (kind, value) in values {
            let end = axis.at(*value).max(LABELS + 1.0);
            plot.bar((LABELS, y), (end - LABELS, BAR), *kind);
            plot.small((end + 4.0, y + BAR - 1.0), &number(*value));
            y += BAR + 2.0;
        }
        y += GAP;
    }
    plot.end()
}

/// A line for each server, through its points: how much of what grows there is, and the value.
pub(super) fn lines(title: &str, along: &str, points: &[(Kind, f64, f64)]) -> String {
    let kinds = present(points.iter().map(|(kind, _, _)| *kind));
    let across =
        Axis::new(Scale::Logarithmic, points.iter().map(|(_, x, _)| *x), 70.0, WIDTH - 70.0);
    let up =
        Axis::new(Scale::Logarithmic, points.iter().map(|(_, _, y)| *y), HEIGHT - 46.0, TOP + 6.0);
    let mut plot = Plot::new(title, HEIGHT, &kinds);
    for tick in up.ticks() {
        let y = up.at(tick);
        plot.line((70.0, y), (WIDTH - 70.0, y), "#e3e3e3");
        plot.text((62.0, y + 4.0), "end", &number_on_axis(tick));
    }
    let mut sizes: Vec<_> = points.iter().map(|(_, x, _)| *x).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        plot.text((across.at(size), HEIGHT - 26.0), "middle", &number_on_axis(size));
    }
    plot.text((WIDTH / 2.0, HEIGHT - 8.0), "middle", along);
    for kind in kinds {
        let mut path = String::new();
        let mut last = None;
        for (_, x, y) in points.iter().filter(|(one, _, _)| *one == kind) {
            let (x, height) = (across.at(*x), up.at(*y));
            let letter = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{letter}{x:.1} {height:.1} ").expect("a string takes all");
            plot.dot((x, height), kind);
            last = Some(((x + 8.0, height + 4.0), *y));
        }
        plot.path(path.trim_end(), kind);
        if let Some((place, value)) = last {
            plot.small(place, &number(value));
        }
    }
    plot.end()
}

/// The servers that there is something of, in the order of the tables.
fn present(kinds: impl Iterator<Item = Kind>) -> Vec<Kind> {
    let there: Vec<_> = kinds.collect();
    Kind::ALL.into_iter().filter(|kind| there.contains(kind)).collect()
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Stonechat => "#1f6f8b",
        Kind::Prosody => "#e07a5f",
        Kind::ProsodyGenerational => "#f2b880",
        Kind::Ejabberd => "#8a6fb0",
        Kind::Floor => "#a8a8a8",
    }
}

/// How values become lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// From somewhat below the least value.
    Logarithmic,
}

/// An axis from one place to another.
struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let positive: Vec<_> = values.filter(|value| *value > 0.0).collect();
        let least = positive.iter().copied().min_by(f64::total_cmp).unwrap_or(1.0);
        let most = positive.iter().copied().max_by(f64::total_cmp).unwrap_or(10.0) * 1.1;
        let least = match scale {
            Scale::Linear => 0.0,
            Scale::Logarithmic => least / 1.6, // so that the shortest bar is seen to be one
        };
        Self { scale, least, most, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let value = value.max(self.least);
        let share = match self.scale {
            Scale::Linear => value / self.most,
            Scale::Logarithmic => (value / self.least).ln() / (self.most / self.least).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// Some round numbers.
    fn ticks(&self) -> Vec<f64> {
        let round = |digits: &'static [f64]| {
            (-6..12).flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)))
        };
        match self.scale {
            Scale::Linear => {
                let mut steps = round(&[1.0, 2.0, 5.0]);
                let step = steps.find(|step| self.most / step < 10.0).unwrap_or(self.most);
                (0_u8..10).map(|n| f64::from(n) * step).filter(|tick| *tick <= self.most).collect()
            }
            Scale::Logarithmic => {
                let is_wide = self.most / self.least > 500.0;
                let digits: &[f64] = if is_wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
                round(digits).filter(|tick| (self.least..=self.most).contains(tick)).collect()
            }
        }
    }
}

fn number_on_axis(value: f64) -> String {
    let text = number(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

struct Plot(String);

impl Plot {
    fn new(title: &str, height: f64, kinds: &[Kind]) -> Self {
        let mut plot = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"12\" y=\"22\" font-size=\"15\">{title}</text>\n"
        ));
        let mut x = 12.0;
        for kind in kinds {
            plot.bar((x, 34.0), (11.0, 11.0), *kind);
            plot.text((x + 16.0, 44.0), "start", kind.title());
            x += 40.0 + 6.6 * kind.title().len() as f64;
        }
        plot
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn small(&mut self, (x, y): (f64, f64), text: &str) {
        self.put(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"10\">{text}</text>"));
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
        self.put(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
        ));
    }

    fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), kind: Kind) {
        let fill = colour(kind);
        self.put(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        ));
    }

    fn dot(&mut self, (x, y): (f64, f64), kind: Kind) {
        let fill = colour(kind);
        self.put(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{fill}\"/>"));
    }

    fn path(&mut self, path: &str, kind: Kind) {
        let stroke = colour(kind);
        self.put(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\"/>"
        ));
    }

    fn put(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }

    fn end(mut self) -> String {
        self.put("</svg>");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_keeps_its_values_between_its_ends_and_in_order() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let axis = Axis::new(scale, [0.001, 0.5, 20.0].into_iter(), 100.0, 600.0);
            let places = [0.001, 0.01, 0.5, 20.0].map(|value| axis.at(value));
            assert!(places.is_sorted() && places[0] > 100.0 && places[3] < 600.0, "{places:?}");
            let ticks = axis.ticks();
            assert!((4..=12).contains(&ticks.len()), "{ticks:?}");
        }
    }

    #[test]
    fn nothing_to_show_is_shown() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let nothing = vec![(Kind::Stonechat, 0.0), (Kind::Floor, -1.0)];
            let plot = bars("title", &[("label", nothing)], scale);
            assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
        }
    }
}
