//! Tests of the crate through its public interface, as one binary.

#[cfg(test)]
mod bundle;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod log;
#[cfg(test)]
mod python;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tree;
