//! The children of each node that are nodes themselves.

use rowan::ast::support;

use super::node::*;

macro_rules! accessors {
    ($($name:ident { $($(#[$meta:meta])* $method:ident: $what:tt $child:ty;)* })*) => {$(
        impl $name { $(accessors!(@one $(#[$meta])* $method $what $child);)* }
    )*};
    (@one $(#[$meta:meta])* $method:ident one $child:ty) => {
        $(#[$meta])* pub fn $method(&self) -> Option<$child> { support::child(&self.0) }
    };
    (@one $(#[$meta:meta])* $method:ident many $child:ty) => {
        $(#[$meta])* pub fn $method(&self) -> impl Iterator<Item = $child> + use<> { support::children(&self.0) }
    };
}

accessors! {
    File {
        /// `pdl 1;`
        edition: one Edition;
        /// In order.
        imports: many Import;
        /// In order.
        lets: many Let;
        /// In order.
        windows: many Window;
        /// In order.
        abstractions: many Abstraction;
        /// In order.
        profiles: many Profile;
        /// In order.
        guards: many Guard;
    }
    Import {
        /// After `as`.
        name: one Name;
    }
    Let {
        /// What is defined.
        name: one Name;
    }
    Window {
        /// What is defined.
        name: one Name;
        /// Its lines.
        spans: many WindowSpan;
    }
    WindowSpan {
        /// None for `daily`.
        days: many DayRange;
    }
    Abstraction {
        /// What is defined.
        name: one Name;
    }
    Param {
        /// What is defined.
        name: one Name;
    }
    Profile {
        /// What is defined.
        name: one Name;
    }
    Guard {
        /// What is defined.
        name: one Name;
    }
    Subject {
        /// All must match.
        selectors: many Selector;
    }
    Governs {
        /// The classes.
        classes: one Verbs;
    }
    Active {
        /// The window.
        window: one Dotted;
        /// Why.
        because: one Because;
    }
    OnViolation {
        /// After `of`.
        classes: one Verbs;
        /// What follows.
        outcome: one Outcome;
    }
    Use {
        /// The abstraction.
        target: one Dotted;
        /// In parentheses.
        args: one Args;
        /// Goes to every rule.
        because: one Because;
    }
    Limit {
        /// Of `io`.
        rates: many IoRate;
        /// The condition.
        during: one During;
        /// What follows.
        outcome: one Outcome;
        /// Why.
        because: one Because;
    }
    Rule {
        /// `during`
        during: many During;
        /// `by`
        by: many By;
        /// What follows.
        outcome: one Outcome;
        /// Why.
        because: one Because;
    }
    Never {
        /// Why.
        because: one Because;
    }
    FileObject {
        /// The verbs.
        verbs: one Verbs;
        /// The paths.
        terms: one Terms;
        /// Those that it does not mean.
        except: one Except;
        /// `as …`
        switch: one Switch;
    }
    NetObject {
        /// The verb.
        verbs: one Verbs;
        /// None where the rule names none.
        address: one Address;
        /// None where the rule names none.
        ports: one Ports;
    }
    UnixObject {
        /// The verb.
        verbs: one Verbs;
        /// The sockets.
        terms: one Terms;
        /// Those that it does not mean.
        except: one Except;
    }
    Except {
        /// The patterns.
        terms: one Terms;
    }
    NamesObject {
        /// The names.
        names: one Names;
    }
    Names {
        /// One by one.
        names: many Name;
    }
    Address {
        /// `dns …`
        dns: one Dns;
        /// Blocks.
        terms: one Terms;
    }
    Ports {
        /// One by one.
        ports: many Port;
    }
    Terms {
        /// One by one.
        terms: many Term;
    }
    Name {
        /// `$name` in the place of a name.
        var: one Var;
    }
    During {
        /// The window.
        window: one Dotted;
    }
    By {
        /// All must match.
        selectors: many Selector;
    }
    Because {
        /// One by one.
        refs: many Ref;
    }
    Var {
        /// Behind the `$`.
        target: one Dotted;
    }
}
