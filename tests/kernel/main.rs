//! Attacks on the policy, tried on real kernels in a virtual machine.
//!
//! `cargo test --test kernel` (or `just vm`) runs every case of `cases/` on each kernel; a name as argument picks
//! cases. One boot of a kernel runs all chosen cases with the same needs: first each attack without any policy, where it
//! must work, then with the policy loaded by the real agent. See `case.rs` for what a case says, `judge.rs` for what
//! counts, `matrix.rs` for the other conditions under which it can be run.

mod administration;
mod build;
mod calls;
mod case;
mod chosen;
mod cost;
mod fleet;
mod gate;
mod guest;
mod judge;
mod limits;
mod matrix;
mod model;
mod needs;
mod policy;
mod probe;
mod record;
mod story;
mod units;
mod vm;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::fleet::Fleet;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = match trials(&Fleet::new(), &arguments) {
        Ok(trials) => trials,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // Tests only wait for their boot; the fleet has the threads. Those that are asked for by name boot by themselves.
    let arguments = Arguments { test_threads: arguments.test_threads.or(Some(1)), ..arguments };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(fleet: &Arc<Fleet>, arguments: &Arguments) -> Result<Vec<Trial>, String> {
    let (cases, stories) = (case::all()?, story::all()?);
    let mut trials = Vec::new();
    for variant in matrix::asked()? {
        trials.extend(chosen::case_trials(fleet, variant, &cases, arguments));
    }
    trials.extend(guest::KERNELS.map(|kernel| matrix::policies(kernel, &cases)));
    trials.extend(chosen::story_trials(fleet, &stories, arguments)?);
    if chosen::is_chosen(arguments, gate::NAME) {
        trials.push(chosen::alone(fleet, gate::NAME, 1, gate::prove));
    }
    trials.extend(units::trials(fleet, arguments));
    trials.extend(calls::trials(fleet, arguments));
    trials.extend(limits::trials(fleet, arguments));
    trials.extend(administration::trials(fleet, arguments));
    for kernel in guest::KERNELS {
        let name = format!("{kernel}::model");
        if chosen::is_chosen(arguments, &name) {
            trials.push(chosen::alone(fleet, &name, model::CPUS, move || model::prove(kernel)));
        }
    }
    trials.push(model::own_trial());
    trials.extend(guest::KERNELS.map(cost::trial));
    trials.extend(probe::trials(fleet, arguments));
    trials.push(record::trial());
    Ok(trials)
}
