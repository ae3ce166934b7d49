//! Prints the demo contract as a TypeScript module.
#![allow(clippy::print_stdout, reason = "printing is its purpose")]

use wirehub_common::contract::typescript;
use wirehub_demo_contract::Demo;

fn main() {
    print!("{}", typescript::module::<Demo>());
}
