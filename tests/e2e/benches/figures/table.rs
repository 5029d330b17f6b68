//! What was measured, beside what was aimed at.

use std::fmt;

/// Lines of figure, target and measurement.
#[derive(Default)]
pub struct Table(Vec<Line>);

struct Line {
    figure: String,
    target: String,
    measured: String,
    /// Whether the target is met; `None` where there is none.
    met: Option<bool>,
}

impl Table {
    /// A figure with a target.
    pub fn held(&mut self, figure: &str, target: String, measured: String, met: bool) {
        self.push(figure, target, measured, Some(met));
    }

    /// A figure for comparison.
    pub fn beside(&mut self, figure: &str, measured: String) {
        self.push(figure, String::new(), measured, None);
    }

    fn push(&mut self, figure: &str, target: String, measured: String, met: Option<bool>) {
        println!("{figure}: {measured}");
        self.0.push(Line { figure: figure.into(), target, measured, met });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<52} {:<28} {:<40} met", "figure", "target", "measured")?;
        for Line { figure, target, measured, met } in &self.0 {
            let met = met.map_or("", |met| if met { "yes" } else { "NO" });
            writeln!(f, "{figure:<52} {target:<28} {measured:<40} {met}")?;
        }
        Ok(())
    }
}

/// The middle one of several measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
