//! A step of a test, and how a client fails.

use std::collections::HashMap;

use rocketmq::error::ClientError;
use serde_json::{json, Value};

pub struct Step {
    pub verb: String,
    arguments: HashMap<String, String>,
}

impl Step {
    pub fn parse(line: &str) -> Step {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or("").to_string();
        let arguments = words
            .filter_map(|word| word.split_once('='))
            .map(|(key, value)| (key.to_string(), unquoted(value)))
            .collect();
        Step { verb, arguments }
    }

    pub fn has(&self, key: &str) -> bool {
        self.arguments.contains_key(key)
    }

    pub fn get(&self, key: &str) -> String {
        self.arguments.get(key).cloned().unwrap_or_default()
    }

    pub fn number(&self, key: &str, otherwise: i64) -> i64 {
        self.get(key).parse().unwrap_or(otherwise)
    }

    /// The user properties, whose values may name the number of the message.
    pub fn properties(&self, number: i64) -> HashMap<String, String> {
        self.arguments
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("property.")?, value)))
            .map(|(key, value)| (key.to_string(), value.replace("{}", &number.to_string())))
            .collect()
    }
}

fn unquoted(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(bytes[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub enum Failure {
    Client(ClientError),
    Step(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::Client(error)
    }
}

impl Failure {
    /// What the client's caller learns. A code of the server is in the context of the error.
    pub fn shown(&self) -> Value {
        match self {
            Failure::Step(text) => {
                json!({"ok": false, "error": "IllegalArgumentException", "message": text})
            }
            Failure::Client(error) => {
                let found = error.context().iter().find(|(key, _)| *key == "code");
                let code = found.map(|(_, value)| value.clone()).unwrap_or_default();
                json!({"ok": false, "code": code, "message": error.to_string()})
            }
        }
    }
}
