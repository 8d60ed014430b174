# This build knows every hook, system call and io_uring operation of the kernel (docs/coverage.md).
check "nothing of this kernel is unknown" $agent kernel
