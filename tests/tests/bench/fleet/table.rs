//! Figures as they come, and all of them at the end.

use crate::rest::VOID_PERCENT;

/// One measurement: what was measured, in which unit, how much.
pub(crate) type Figure = (&'static str, f64);

/// What one round gave.
pub(crate) struct Round {
    pub(crate) figures: Vec<Figure>,
    /// CPU that nobody who was measured took, in percent of the machine.
    pub(crate) others_percent: f64,
}

/// All lines.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<String>,
}

impl Table {
    /// Adds a line with the median of each figure over rounds that have the same figures, and prints it.
    ///
    /// # Panics
    /// When there is no round.
    pub(crate) fn add(&mut self, what: &str, size: &str, rounds: &[Round]) -> Vec<Figure> {
        let others_percent = rounds.iter().map(|round| round.others_percent).fold(0.0, f64::max);
        let figures: Vec<Figure> = (0..rounds[0].figures.len())
            .map(|column| {
                let mut values: Vec<f64> = rounds.iter().map(|round| round.figures[column].1).collect();
                values.sort_by(f64::total_cmp);
                (rounds[0].figures[column].0, values[values.len() / 2])
            })
            .collect();
        let words: Vec<String> =
            figures.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
        let void = if others_percent > VOID_PERCENT { " (void)" } else { "" };
        let line = format!("| {what} | {size} | {} | {others_percent:.0} %{void} |", words.join("; "));
        println!("{line}");
        self.lines.push(line);
        figures
    }

    /// All of it.
    pub(crate) fn print(&self) {
        println!("\n| figure | size | median | others |\n|---|---|---|---|");
        for line in &self.lines {
            println!("{line}");
        }
    }
}

/// Three digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// How a value grows with a size: the slope of the straight line through their logarithms. 0: not at all; 1: in proportion.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> =
        points.iter().map(|(size, value)| (size.ln(), value.max(1e-9).ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (size, value) = (mean(|log| log.0), mean(|log| log.1));
    let above: f64 = logs.iter().map(|log| (log.0 - size) * (log.1 - value)).sum();
    let below: f64 = logs.iter().map(|log| (log.0 - size).powi(2)).sum();
    above / below
}

/// The value below which so many percent are, in milliseconds.
pub(crate) fn percentile_ms(times: &mut [std::time::Duration], percent: usize) -> f64 {
    times.sort_unstable();
    crate::percentile(times, percent)
}
