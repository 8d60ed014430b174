# Recipes; `just` lists them. The scripts work without just as well.

_default:
    @just --list

# Build everything, run the whole way from manifest to kernel and back
demo *ARGS:
    scripts/demo {{ARGS}}

# Pass the tests
test *ARGS:
    scripts/test {{ARGS}}

# Kernel tests in virtual machines: all, or those whose name contains CASE
vm *CASE:
    KILN_AGENT=$(scripts/build-agent) cargo test --test kernel -- {{CASE}}

# What enforcement costs beside AppArmor, in guest instructions, on each kernel (or on KERNEL)
vm-cost KERNEL="":
    KILN_AGENT=$(scripts/build-agent) cargo test --test kernel -- --ignored --nocapture cost::{{KERNEL}}

# Build the static agent
agent:
    scripts/build-agent

# Benchmarks (criterion)
bench *ARGS:
    cargo bench {{ARGS}}

# Fuzz a target (gate, pdl, policy_json) for SECONDS
fuzz TARGET SECONDS="300":
    scripts/fuzz {{TARGET}} {{SECONDS}}

# Record the gate's benign corpus again, in a virtual machine
record:
    KILN_AGENT=$(scripts/build-agent) cargo test --test kernel -- --ignored record::
