//! The fewest states for the same answers, in O(m log m) for m transitions: partition refinement over states and
//! transitions at once, which needs no full rows (Valmari, "Fast brief practical DFA minimization", IPL 112, 2012;
//! after Hopcroft, 1971).

use super::bytes::ByteClasses;
use super::dfa::Dfa;

/// The minimal automaton. States are numbered breadth first from the starts, so equal automata are equal values,
/// and states that follow one another lie near one another.
pub(super) fn minimize(dfa: &Dfa) -> Dfa {
    let live = live_states(dfa);
    let block = blocks(dfa, &live);
    merge_classes(&number(dfa, &block))
}

/// Which states are reached from a start and reach an accepting state.
fn live_states(dfa: &Dfa) -> Vec<bool> {
    let n = dfa.len();
    let mut reached = vec![false; n];
    let mut todo: Vec<u32> = dfa.starts.clone();
    while let Some(s) = todo.pop() {
        if !std::mem::replace(&mut reached[s as usize], true) {
            todo.extend(dfa.row(s).iter().map(|e| e.1));
        }
    }
    let back = Incoming::new(n, (0..n as u32).flat_map(|s| dfa.row(s).iter().map(move |e| (s, e.1))));
    let mut live = vec![false; n];
    todo.extend((1..n as u32).filter(|s| reached[*s as usize] && dfa.accept(*s) != 0));
    while let Some(s) = todo.pop() {
        if !std::mem::replace(&mut live[s as usize], true) {
            todo.extend(back.of(s).iter().filter(|p| reached[**p as usize]));
        }
    }
    live[0] = false;
    live
}

/// For each target, the list of what points at it.
struct Incoming {
    begin: Vec<u32>,
    list: Vec<u32>,
}

impl Incoming {
    fn new(n: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Incoming {
        let mut begin = vec![0u32; n + 1];
        pairs.clone().for_each(|(_, to)| begin[to as usize + 1] += 1);
        (0..n).for_each(|i| begin[i + 1] += begin[i]);
        let mut at = begin.clone();
        let mut list = vec![0; begin[n] as usize];
        for (from, to) in pairs {
            list[at[to as usize] as usize] = from;
            at[to as usize] += 1;
        }
        Incoming { begin, list }
    }
    fn of(&self, n: u32) -> &[u32] {
        &self.list[self.begin[n as usize] as usize..self.begin[n as usize + 1] as usize]
    }
}

/// A partition that can be refined: elements of a set stand side by side, its marked ones first.
struct Partition {
    elements: Vec<u32>,
    place: Vec<u32>,
    set_of: Vec<u32>,
    /// Per set: first place, place behind the last, marked elements.
    sets: Vec<(u32, u32, u32)>,
    touched: Vec<u32>,
}

impl Partition {
    /// Sets of the elements with equal keys, in the order of the keys.
    fn by_key(keys: &[u32]) -> Partition {
        let n = keys.len();
        let mut elements: Vec<u32> = (0..n as u32).collect();
        elements.sort_by_key(|e| keys[*e as usize]);
        let mut p =
            Partition { place: vec![0; n], set_of: vec![0; n], sets: Vec::new(), touched: Vec::new(), elements };
        for at in 0..n {
            let e = p.elements[at] as usize;
            if at == 0 || keys[e] != keys[p.elements[at - 1] as usize] {
                p.sets.push((at as u32, at as u32, 0));
            }
            let set = p.sets.len() - 1;
            p.sets[set].1 += 1;
            p.place[e] = at as u32;
            p.set_of[e] = set as u32;
        }
        p
    }

    fn mark(&mut self, element: u32) {
        let set = self.set_of[element as usize];
        let (first, _, marked) = &mut self.sets[set as usize];
        let (from, to) = (self.place[element as usize] as usize, (*first + *marked) as usize);
        if from < to {
            return; // marked before
        }
        if *marked == 0 {
            self.touched.push(set);
        }
        *marked += 1;
        let other = self.elements[to];
        self.elements.swap(from, to);
        self.place[other as usize] = from as u32;
        self.place[element as usize] = to as u32;
    }

    /// Parts the marked from the unmarked in each set; the smaller part becomes the new set.
    fn split(&mut self) {
        while let Some(set) = self.touched.pop() {
            let (first, end, marked) = self.sets[set as usize];
            let middle = first + marked;
            self.sets[set as usize].2 = 0;
            if middle == end {
                continue;
            }
            let new = self.sets.len() as u32;
            let (old_part, new_part) = if marked <= end - middle {
                ((middle, end), (first, middle))
            } else {
                ((first, middle), (middle, end))
            };
            self.sets[set as usize] = (old_part.0, old_part.1, 0);
            self.sets.push((new_part.0, new_part.1, 0));
            for at in new_part.0..new_part.1 {
                self.set_of[self.elements[at as usize] as usize] = new;
            }
        }
    }
}

/// Per state its block of equivalent states, plus one; 0 for states that are as good as dead.
fn blocks(dfa: &Dfa, live: &[bool]) -> Vec<u32> {
    let states: Vec<u32> = (0..dfa.len() as u32).filter(|s| live[*s as usize]).collect();
    let mut local = vec![u32::MAX; dfa.len()];
    states.iter().enumerate().for_each(|(n, s)| local[*s as usize] = n as u32);
    // Transitions as (tail, class, head), over live states.
    let mut tails = Vec::new();
    let mut labels = Vec::new();
    let mut heads = Vec::new();
    for (n, s) in states.iter().enumerate() {
        for (class, next) in dfa.row(*s) {
            if live[*next as usize] {
                tails.push(n as u32);
                labels.push(u32::from(*class));
                heads.push(local[*next as usize]);
            }
        }
    }
    let into = Incoming::new(states.len(), heads.iter().enumerate().map(|(t, h)| (t as u32, *h)));
    let accepts: Vec<u32> = states.iter().map(|s| dfa.accept(*s)).collect();
    let mut of_states = Partition::by_key(&accepts);
    let mut cords = Partition::by_key(&labels);
    let (mut block, mut cord) = (1, 0);
    while cord < cords.sets.len() {
        let (first, end, _) = cords.sets[cord];
        for at in first..end {
            of_states.mark(tails[cords.elements[at as usize] as usize]);
        }
        of_states.split();
        cord += 1;
        while block < of_states.sets.len() {
            let (first, end, _) = of_states.sets[block];
            for at in first..end {
                into.of(of_states.elements[at as usize]).iter().for_each(|t| cords.mark(*t));
            }
            cords.split();
            block += 1;
        }
    }
    local.iter().map(|n| if *n == u32::MAX { 0 } else { of_states.set_of[*n as usize] + 1 }).collect()
}

/// The quotient, numbered breadth first.
fn number(dfa: &Dfa, block: &[u32]) -> Dfa {
    let mut number = vec![0u32; block.iter().max().map_or(1, |b| *b as usize + 1)];
    let mut order: Vec<u32> = vec![0];
    let mut visit = |state: u32, order: &mut Vec<u32>| {
        let slot = &mut number[block[state as usize] as usize];
        if *slot == 0 && block[state as usize] != 0 {
            *slot = order.len() as u32;
            order.push(state);
        }
        *slot
    };
    let mut out = Dfa {
        classes: dfa.classes.clone(),
        starts: dfa.starts.iter().map(|s| visit(*s, &mut order)).collect(),
        accept: vec![0],
        rows: vec![0, 0],
        entries: Vec::new(),
    };
    let mut at = 1;
    while at < order.len() {
        let state = order[at];
        at += 1;
        out.accept.push(dfa.accept(state));
        for (class, next) in dfa.row(state) {
            match visit(*next, &mut order) {
                0 => {}
                next => out.entries.push((*class, next)),
            }
        }
        out.rows.push(out.entries.len() as u32);
    }
    out
}

/// Merges classes that no state tells apart.
fn merge_classes(dfa: &Dfa) -> Dfa {
    let n = dfa.classes.len();
    let mut columns: Vec<Vec<(u32, u32)>> = vec![Vec::new(); n];
    for state in 1..dfa.len() as u32 {
        for (class, next) in dfa.row(state) {
            columns[usize::from(*class)].push((state, *next));
        }
    }
    let first: Vec<usize> = (0..n).map(|c| (0..c).find(|d| columns[*d] == columns[c]).unwrap_or(c)).collect();
    if first.iter().enumerate().all(|(c, f)| c == *f) {
        return dfa.clone();
    }
    let map = dfa.classes.map().map(|c| first[usize::from(c)] as u8);
    let classes = ByteClasses::from_map(map);
    let mut out = Dfa { classes, rows: vec![0], entries: Vec::new(), ..dfa.clone() };
    for state in 0..dfa.len() as u32 {
        let kept = dfa.row(state).iter().filter(|e| first[usize::from(e.0)] == usize::from(e.0));
        let byte = |class: u8| dfa.classes.representative(class);
        let mut row: Vec<_> = kept.map(|(class, next)| (out.classes.class(byte(*class)), *next)).collect();
        row.sort_unstable();
        out.entries.extend(row);
        out.rows.push(out.entries.len() as u32);
    }
    out
}
