//! The agent in images.

fn main() -> std::process::ExitCode {
    kiln_agent::main()
}
