//! The number of tests that ran, read from the output of the test runners.

use std::{fmt, fs, path::Path};

/// Tests that passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Counts {
    /// The counts in a step's log; zero if there is none.
    pub(super) fn of_log(log: &Path) -> Self {
        Self::of_output(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default()))
    }

    /// Adds up every runner's closing line in `output`.
    fn of_output(output: &str) -> Self {
        output.lines().map(|line| Self::of_line(line.trim())).fold(Self::default(), Self::plus)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed.saturating_add(other.passed),
            failed: self.failed.saturating_add(other.failed),
        }
    }

    /// A failed step without a reported failed test (for example because it did not compile) counts as one.
    pub(super) fn count_failed_step(&mut self) {
        self.failed = self.failed.max(1);
    }

    fn of_line(line: &str) -> Self {
        // cargo test and wasm-bindgen-test: `test result: ok. 3 passed; 0 failed; 0 ignored; …`
        if let Some(rest) = line.strip_prefix("test result: ") {
            let mut words = rest.split(['.', ';']).map(str::trim);
            return Self {
                passed: words.clone().find_map(|part| leading_number(part, "passed")).unwrap_or_default(),
                failed: words.find_map(|part| leading_number(part, "failed")).unwrap_or_default(),
            };
        }
        // node --test: `ℹ pass 3` or, not on a terminal, `# pass 3`
        let node = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")).unwrap_or_default();
        let number = |word: &str| node.strip_prefix(word)?.strip_prefix(' ')?.parse().ok();
        Self { passed: number("pass").unwrap_or_default(), failed: number("fail").unwrap_or_default() }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.passed, self.failed) {
            (0, 0) => Ok(()),
            (passed, 0) => write!(f, "{passed} passed"),
            (passed, failed) => write!(f, "{passed} passed, {failed} failed"),
        }
    }
}

/// 3 of `3 passed`.
fn leading_number(part: &str, word: &str) -> Option<u64> {
    part.strip_suffix(word)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn cargos_and_wasm_bindgens_lines_add_up() {
        let output = "\
running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

test result: FAILED. 40 passed; 3 failed; 1 ignored; 0 filtered out; finished in 1.2s
";
        assert_eq!(Counts::of_output(output), Counts { passed: 42, failed: 3 });
    }

    #[test]
    fn nodes_lines_add_up_in_both_forms() {
        assert_eq!(Counts::of_output("ℹ tests 4\nℹ pass 3\nℹ fail 1\n"), Counts { passed: 3, failed: 1 });
        assert_eq!(Counts::of_output("# tests 7\n# pass 7\n# fail 0\n"), Counts { passed: 7, failed: 0 });
    }

    #[test]
    fn other_lines_count_nothing() {
        let output = "# passing by\n5 passed\nℹ pass many\ntest result: unclear\n";
        assert_eq!(Counts::of_output(output), Counts::default());
    }

    #[test]
    fn a_failed_step_counts_once_at_least() {
        let mut nothing = Counts::default();
        nothing.count_failed_step();
        assert_eq!(nothing, Counts { passed: 0, failed: 1 });
        let mut told = Counts { passed: 1, failed: 4 };
        told.count_failed_step();
        assert_eq!(told.failed, 4);
    }
}
