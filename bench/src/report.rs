//! The table.

use std::fmt;

use crate::loads::Load;
use crate::server::{Candidate, Kind};

/// An aim of the project.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// In the figure's unit.
    Figure(f64),
    /// This many times the floor's figure in the same run.
    Floors(f64),
}

/// The name and aim of one figure of a load.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    aim: Option<Aim>,
}

impl Line {
    pub(crate) fn new(name: String, aim: Option<Aim>) -> Self {
        Self { name, aim }
    }
}

/// The servers in the table, in their order.
pub(crate) struct Table<'a> {
    candidates: &'a [Candidate],
}

impl<'a> Table<'a> {
    pub(crate) fn new(candidates: &'a [Candidate]) -> Self {
        Self { candidates }
    }

    /// The servers to compare with the floor, if the floor is there.
    fn compared(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let is_compared = self.floor().is_some();
        let candidates = self.candidates.iter().enumerate();
        candidates.filter(move |(_, it)| is_compared && it.kind != Kind::Floor)
    }

    fn floor(&self) -> Option<usize> {
        self.candidates.iter().position(|it| it.kind == Kind::Floor)
    }

    pub(crate) fn head(&self) -> String {
        let ratios = self.compared().map(|(_, it)| format!("{it} / floor"));
        let names = self.candidates.iter().map(ToString::to_string).chain(ratios);
        let names: Vec<String> = names.chain(["aim".into()]).collect();
        let rule = " --- |".repeat(names.len());
        format!("| {:<WIDTH$} | {} |\n| --- |{rule}", "load", names.join(" | "))
    }

    /// The rows of a load, from the figures of each candidate and each run.
    pub(crate) fn rows(&self, load: Load, figures: &[Vec<Vec<f64>>]) -> Vec<String> {
        let lines = load.lines().into_iter().enumerate();
        let rows = lines.map(|(index, line)| {
            let medians: Vec<Option<f64>> = figures
                .iter()
                .map(|times| median(times.iter().filter_map(|line| line.get(index).copied()).collect()))
                .collect();
            self.row(&line, &medians, load.has_ratios())
        });
        rows.collect()
    }

    fn row(&self, line: &Line, medians: &[Option<f64>], has_ratios: bool) -> String {
        let median = |index: usize| medians.get(index).copied().flatten();
        let cell = |figure: Option<f64>| figure.map_or("–".into(), |it| Figure(it).to_string());
        let figures = (0..self.candidates.len()).map(|index| cell(median(index)));
        let ratios = self.compared().map(|(index, _)| {
            let floor = self.floor().and_then(median).filter(|_| has_ratios);
            cell(floor.zip(median(index)).map(|(floor, figure)| figure / floor))
        });
        let aim = match line.aim {
            Some(Aim::Figure(aim)) => Figure(aim).to_string(),
            Some(Aim::Floors(aim)) => format!("{} floors", Figure(aim)),
            None => "–".into(),
        };
        let cells: Vec<String> = figures.chain(ratios).chain([aim]).collect();
        format!("| {:<WIDTH$} | {} |", line.name, cells.join(" | "))
    }
}

const WIDTH: usize = 44;

pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Three significant digits.
pub(crate) struct Figure(pub(crate) f64);

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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn figures_stand_beside_the_floors_and_their_ratios_to_it() {
        let candidates = Candidate::known(Path::new("wirehub")).unwrap();
        let table = Table::new(&candidates);
        let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let heading = table.head();
        let columns = cells(heading.lines().next().unwrap()).len();

        let figures = [vec![vec![2.0], vec![1.0], vec![9.0]], vec![vec![5.0]], vec![vec![150.0]]];
        let rows = table.rows(Load::Echo, &figures);
        let row = cells(&rows[0]);
        assert_eq!(row.len(), columns);
        assert_eq!(row[2..7], ["2.00", "5.00", "150", "2.50", "75.0"]);

        let rows = table.rows(Load::IdleTls, &[Vec::new(), Vec::new(), vec![vec![3.5]]]);
        assert_eq!(cells(&rows[0])[2..8], ["–", "–", "3.50", "–", "–", "3500"]);
    }
}
