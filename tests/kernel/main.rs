//! Attacks on the policy, tried on real kernels in a virtual machine.
//!
//! `cargo test --test kernel` (or `just vm`) runs every case of `cases/` on each kernel; a name as argument picks
//! cases. One boot of a kernel runs all chosen cases: first each attack without any policy, where it must work, then
//! with the policy loaded by the real agent. See `case.rs` for what a case says, `judge.rs` for what counts.

mod build;
mod case;
mod cost;
mod gate;
mod guest;
mod judge;
mod policy;
mod record;
mod story;
mod vm;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};

use crate::case::Case;
use crate::guest::Boot;
use crate::story::Story;

/// What one boot of a kernel told, or why it told nothing.
type Told = Arc<OnceLock<Result<Boot, String>>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (cases, stories) = match case::all().and_then(|cases| Ok((cases, story::all()?))) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut trials = Vec::new();
    for kernel in guest::KERNELS {
        let of_kernel: Vec<Case> =
            cases.iter().filter(|case| case.kernels.iter().any(|name| name == kernel)).cloned().collect();
        let chosen: Arc<Vec<Case>> = Arc::new(
            of_kernel.into_iter().filter(|case| is_chosen(&arguments, &trial_name(kernel, &case.name))).collect(),
        );
        let told: Told = Arc::new(OnceLock::new());
        for case in chosen.iter() {
            let (case, chosen, told) = (case.clone(), chosen.clone(), told.clone());
            trials.push(Trial::test(trial_name(kernel, &case.name), move || {
                let boot = told.get_or_init(|| guest::boot(kernel, &chosen));
                let boot = boot.as_ref().map_err(|error| error.clone())?;
                judge::judge(&case, boot).map_err(Into::into)
            }));
        }
        trials.extend(story_trials(kernel, &stories, &arguments));
    }
    trials.extend(guest::KERNELS.map(cost::trial));
    trials.push(gate::trial());
    trials.push(record::trial());
    // Trials only wait for their kernel's boot; more threads than kernels would wait for nothing.
    let arguments = Arguments { test_threads: arguments.test_threads.or(Some(1)), ..arguments };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn story_trials(kernel: &'static str, stories: &[Story], arguments: &Arguments) -> Vec<Trial> {
    let name = |story: &Story| trial_name(kernel, &format!("story::{}", story.name));
    let chosen: Vec<Story> = stories.iter().filter(|story| is_chosen(arguments, &name(story))).cloned().collect();
    let chosen = Arc::new(chosen);
    let told: Arc<OnceLock<Result<String, String>>> = Arc::new(OnceLock::new());
    let trial = |story: &Story| {
        let (story, chosen, told) = (story.clone(), chosen.clone(), told.clone());
        Trial::test(name(&story), move || {
            let said = told.get_or_init(|| story::boot(kernel, &chosen));
            let said = said.as_ref().map_err(|error| error.clone())?;
            story::judge(&story, said).map_err(Into::into)
        })
    };
    chosen.iter().map(trial).collect()
}

fn trial_name(kernel: &str, name: &str) -> String {
    format!("{kernel}::{name}")
}

/// Whether libtest-mimic will run this name: a boot runs only the cases that somebody asked for.
fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &str| if arguments.exact { name == pattern } else { name.contains(pattern) };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|pattern| matches(pattern))
}
