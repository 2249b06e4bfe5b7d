//! Needs root and the kernel: mounts, small disks and limits of processes. The subject is a crash, a failing disk, or a
//! flood.

mod crash;
mod flood;
