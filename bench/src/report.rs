//! The table.

use std::fmt;

use crate::loads::Load;
use crate::server::Kind;

/// What one load came to.
#[derive(Debug)]
pub(crate) struct Row {
    load: Load,
    /// Medians.
    figures: Vec<(Kind, f64)>,
}

pub(crate) fn row(load: Load, figures: Vec<(Kind, Vec<f64>)>) -> Row {
    Row { load, figures: figures.into_iter().map(|(kind, figures)| (kind, median(figures))).collect() }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {:<26} |", self.load.to_string())?;
        for (kind, figure) in &self.figures {
            write!(f, " {kind} {} |", Figure(*figure))?;
        }
        write!(f, " aim {} |", Figure(self.load.aim()))
    }
}

/// Three digits that count.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            figure if figure < 1.0 => write!(f, "{figure:.3}"),
            figure if figure < 10.0 => write!(f, "{figure:.2}"),
            figure if figure < 100.0 => write!(f, "{figure:.1}"),
            figure => write!(f, "{figure:.0}"),
        }
    }
}
