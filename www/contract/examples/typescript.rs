//! Prints the demo contract as a TypeScript module.
#![allow(clippy::print_stdout, reason = "printing is its purpose")]

use ts_rs::TypeVisitor as _;
use wirehub_common::contract::typescript;
use wirehub_demo_contract::{Demo, Person, SessionRequest, SessionResponse};

fn main() {
    let module = typescript::module_with::<Demo>(|module| {
        module.info::<Person>();
        // They are in no channel and no call: HTTP carries them.
        module.visit::<SessionRequest>();
        module.visit::<SessionResponse>();
    });
    print!("{module}");
}
