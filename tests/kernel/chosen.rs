//! The tests of this run, and the boots that they share.

use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::case::Case;
use crate::fleet::Fleet;
use crate::matrix::Variant;
use crate::needs::Needs;
use crate::story::{self, Story};
use crate::{guest, judge};

/// A test for each case that is asked for, under one variant; their boots go to the fleet.
pub fn case_trials(fleet: &Arc<Fleet>, variant: Variant, cases: &[Case], arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kernel in guest::KERNELS {
        let name = |case: &Case| match variant.name() {
            "" => format!("{kernel}::{}", case.name),
            variant => format!("{kernel}::{variant}::{}", case.name),
        };
        let fits = |case: &&Case| variant.concerns(case) && case.kernels.iter().any(|name| name == kernel);
        let chosen: Vec<Case> =
            cases.iter().filter(fits).filter(|case| is_chosen(arguments, &name(case))).cloned().collect();
        for (needs, cases) in by_needs(chosen, Case::needs) {
            let group = guest::Group { kernel, variant, needs, cases };
            let names: Vec<(String, Case)> = group.cases.iter().map(|case| (name(case), case.clone())).collect();
            let told = fleet.add(group.needs.cpus.unwrap_or(1), group.seconds(), move || guest::boot(&group));
            for (name, case) in names {
                let (fleet, told) = (fleet.clone(), told.clone());
                trials.push(Trial::ignorable_test(name, move || Ok(judge::judge(&case, fleet.wait(&told)?, variant)?)));
            }
        }
    }
    trials
}

/// A test for each story that is asked for; their boots go to the fleet. Nobody asked for any in particular where CI
/// runs: each story is then run on one of the kernels.
///
/// # Errors
/// If a story says something that is not understood.
pub fn story_trials(fleet: &Arc<Fleet>, stories: &[Story], arguments: &Arguments) -> Result<Vec<Trial>, String> {
    let mut trials = Vec::new();
    for kernel in guest::KERNELS {
        let name = |story: &Story| format!("{kernel}::story::{}", story.name);
        let any = std::env::var_os("KILN_MATRIX").is_some() || arguments.filter.is_some();
        let is_run = |story: &&Story| {
            let here = any || everyday_kernel(story).is_none_or(|everyday| everyday == kernel);
            story.is_for(kernel) && here && is_chosen(arguments, &name(story))
        };
        let mut chosen = Vec::new();
        for story in stories.iter().filter(is_run) {
            chosen.push((story.needs()?, story.clone()));
        }
        for (needs, stories) in by_needs(chosen, |(needs, _)| needs.clone()) {
            let stories: Vec<Story> = stories.into_iter().map(|(_, story)| story).collect();
            let group = story::Group { kernel, needs, stories };
            let names: Vec<(String, Story)> = group.stories.iter().map(|story| (name(story), story.clone())).collect();
            let told = fleet.add(group.cpus(), group.seconds(), move || story::boot(&group));
            for (name, story) in names {
                let (fleet, told) = (fleet.clone(), told.clone());
                trials.push(Trial::test(name, move || Ok(story::judge(&story, fleet.wait(&told)?)?)));
            }
        }
    }
    Ok(trials)
}

/// The kernel on which CI runs a story that several have; none if it is for one alone. By the story's name, so that
/// another story that comes or goes moves none.
fn everyday_kernel(story: &Story) -> Option<&'static str> {
    let several = guest::KERNELS.iter().all(|kernel| story.is_for(kernel));
    let sum: usize = story.name.bytes().map(usize::from).sum();
    several.then(|| guest::KERNELS[sum % guest::KERNELS.len()])
}

/// A test of its own boot, of a minute or two, beside the others.
pub fn alone(
    fleet: &Arc<Fleet>,
    name: &str,
    cpus: u32,
    boot: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Trial {
    let (fleet, told) = (fleet.clone(), fleet.add(cpus, 100, boot));
    Trial::ignorable_test(name.to_owned(), move || Ok(fleet.wait(&told).map(|()| Completion::Completed)?))
}

/// Things with the same needs together, in their order.
fn by_needs<T>(things: Vec<T>, needs: impl Fn(&T) -> Needs) -> Vec<(Needs, Vec<T>)> {
    let mut groups: Vec<(Needs, Vec<T>)> = Vec::new();
    for thing in things {
        let needs = needs(&thing);
        match groups.iter_mut().find(|(of, _)| *of == needs) {
            Some((_, group)) => group.push(thing),
            None => groups.push((needs, vec![thing])),
        }
    }
    groups
}

/// Whether a test is meant that takes more time than CI has: by its whole name, or by the matrix.
pub fn is_asked_for(arguments: &Arguments, name: &str) -> bool {
    std::env::var_os("KILN_MATRIX").is_some() || arguments.filter.as_deref() == Some(name)
}

/// Whether libtest-mimic will run this name: a boot runs only what somebody asked for.
pub fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &str| if arguments.exact { name == pattern } else { name.contains(pattern) };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|pattern| matches(pattern))
}
