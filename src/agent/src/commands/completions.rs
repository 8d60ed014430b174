//! Completions of the command line, for three shells. Units are completed by systemctl(1).

use crate::commands::args::Shell;

const BASH: &str = r#"_kiln_agent() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
	local units='systemctl list-units --plain --no-legend --all --type=service'
	case $before in
	--tables | --signature | --assignment) COMPREPLY=($(compgen -f -- "$word")) && return ;;
	--format) COMPREPLY=($(compgen -W 'text json' -- "$word")) && return ;;
	completions) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$word")) && return ;;
	esac
	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W 'COMMANDS' -- "$word"))
		return
	fi
	case $command in
	show | audit | release) COMPREPLY=($(compgen -W "$($units 2>/dev/null | cut -d' ' -f1) --for --end --format" -- "$word")) ;;
	update) COMPREPLY=($(compgen -W '--tables --signature --assignment --confirm-within --format' -- "$word")) ;;
	*) COMPREPLY=($(compgen -W '--format' -- "$word")) ;;
	esac
}
complete -F _kiln_agent kiln-agent"#;

const ZSH: &str = r#"#compdef kiln-agent
_kiln_agent() {
	local -a units
	_arguments '1:command:(COMMANDS)' '--format[how to print]:format:(text json)' \
		'--tables[the tables file]:file:_files' '--signature[its envelope]:file:_files' \
		'--assignment[of the POS]:file:_files' '--confirm-within[seconds]:seconds:' \
		'--for[how long]:duration:' '--end[end it]' '2:word:->word'
	case $words[2] in
	show | audit | release)
		units=(${(f)"$(systemctl list-units --plain --no-legend --all --type=service 2>/dev/null | cut -d' ' -f1)"})
		compadd -a units ;;
	completions) compadd bash zsh fish ;;
	esac
}
_kiln_agent "$@""#;

const FISH: &str = r#"set -l commands COMMANDS
complete -c kiln-agent -f -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c kiln-agent -l format -x -a 'text json'
complete -c kiln-agent -l tables -r -n '__fish_seen_subcommand_from update'
complete -c kiln-agent -l signature -r -n '__fish_seen_subcommand_from update'
complete -c kiln-agent -l assignment -r -n '__fish_seen_subcommand_from update'
complete -c kiln-agent -l confirm-within -x -n '__fish_seen_subcommand_from update'
complete -c kiln-agent -l for -x -n '__fish_seen_subcommand_from audit'
complete -c kiln-agent -l end -n '__fish_seen_subcommand_from audit'
complete -c kiln-agent -f -n '__fish_seen_subcommand_from show audit release' \
	-a "(systemctl list-units --plain --no-legend --all --type=service 2>/dev/null | cut -d' ' -f1)"
complete -c kiln-agent -f -n '__fish_seen_subcommand_from completions' -a 'bash zsh fish'"#;

/// What people call; `keep` is not for them.
const COMMANDS: &str =
    "load run status show ps explain update confirm revert release audit verify kernel unload completions";

/// The script of a shell.
pub fn script(shell: Shell) -> String {
    let script = match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    };
    script.replace("COMMANDS", COMMANDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::args::USAGE;

    #[test]
    fn they_have_each_command_that_the_usage_has() {
        let listed =
            USAGE.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|w| !w.is_empty()));
        let listed: Vec<&str> = listed.filter(|word| *word != "kiln-agent" && *word != "journalctl").collect();
        assert_eq!(listed, COMMANDS.split(' ').collect::<Vec<_>>());
    }
}
