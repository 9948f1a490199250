//! Drives the unmodified official Rust client: one step a line in, one JSON object a line out.
//!
//! A step is "verb key=value …" with URL-encoded values. The answer is {"ok":true,…} or
//! {"ok":false,"code":"UNAUTHORIZED","message":"…"} as the client's caller got it. The process ends when its input does.

mod clients;
mod step;

use clients::Clients;
use serde_json::json;
use step::Step;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::main]
async fn main() {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut out = tokio::io::stdout();
    let mut clients = Clients::default();
    while let Ok(Some(line)) = lines.next_line().await {
        let step = Step::parse(&line);
        let answer = match clients.run(&step).await {
            Ok(answer) => answer,
            Err(failure) => failure.shown(),
        };
        let text = format!("{}\n", json!(answer));
        if out.write_all(text.as_bytes()).await.is_err() || out.flush().await.is_err() {
            break;
        }
    }
    // The client's own tasks would keep the process.
    std::process::exit(0);
}
