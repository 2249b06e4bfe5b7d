//! The process kills itself at each named step between a file that is read and a file that is written.
