//! `kiln-pos` as a process, spoken to over real TLS on loopback.

mod agent;
mod cli;
mod client;
mod crash;
mod enrol;
mod evidence;
mod fixture;
mod hostile;
mod operator;
mod readers;
mod service;
mod stream;
mod violations;
