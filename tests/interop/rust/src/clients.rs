//! The clients that the steps use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{Message, MessageBuilder, MessageView};
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use rocketmq::{Producer, SimpleConsumer};
use serde_json::{json, Value};

use crate::step::{Failure, Step};

type Answer = Result<Value, Failure>;

/// What the checks of a producer of transactions were asked, and how they end.
#[derive(Default)]
struct Checks {
    ends: String,
    asked: Vec<Value>,
}

#[derive(Default)]
pub struct Clients {
    producers: HashMap<String, Producer>,
    transactors: HashMap<String, (Producer, Arc<Mutex<Checks>>)>,
    consumers: HashMap<String, SimpleConsumer>,
    views: Vec<MessageView>,
}

fn client_option(step: &Step) -> ClientOption {
    let mut option = ClientOption::default();
    option.set_access_url(step.get("endpoint"));
    option.set_timeout(Duration::from_secs(10));
    if step.has("user") {
        option.set_access_key(step.get("user"));
        option.set_secret_key(step.get("secret"));
    }
    option
}

fn producer_option(step: &Step) -> ProducerOption {
    let mut option = ProducerOption::default();
    option.set_topics(vec![step.get("topic")]);
    option
}

fn milliseconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

fn message(step: &Step, number: i64) -> Result<impl Message, Failure> {
    let body = format!("{}-{number}", step.get("body")).into_bytes();
    let topic = step.get("topic");
    let mut builder = if step.has("fifo") {
        MessageBuilder::fifo_message_builder(topic, body, step.get("fifo"))
    } else if step.has("delay") {
        // This client has whole seconds.
        let seconds = (milliseconds() + step.number("delay", 0) + 999) / 1000;
        MessageBuilder::delay_message_builder(topic, body, seconds)
    } else if step.verb == "transact" {
        MessageBuilder::transaction_message_builder(topic, body)
    } else {
        MessageBuilder::builder().set_topic(topic).set_body(body)
    };
    if step.has("tag") {
        builder = builder.set_tag(step.get("tag"));
    }
    if step.has("key") {
        builder = builder.set_keys(vec![step.get("key")]);
    }
    Ok(builder.set_properties(step.properties(number)).build()?)
}

fn describe(view: &MessageView) -> Value {
    json!({
        "body": String::from_utf8_lossy(view.body()), "topic": view.topic(), "tag": view.tag().unwrap_or(""),
        "keys": view.keys(), "messageId": view.message_id(), "fifo": view.message_group().unwrap_or(""),
        "attempt": view.delivery_attempt(), "properties": view.properties(), "born": view.born_timestamp() * 1000,
        "received": milliseconds(),
    })
}

impl Clients {
    pub async fn run(&mut self, step: &Step) -> Answer {
        let mut answer = match step.verb.as_str() {
            "send" => self.send(step).await?,
            "transact" => self.transact(step).await?,
            "checked" => self.checked(step).await?,
            "open" => self.open(step).await?,
            "receive" => self.receive(step).await?,
            "ack" => self.ack(step).await?,
            "stop" => self.stop(step).await?,
            "close" => self.close().await?,
            other => return Err(Failure::Step(format!("unknown step {other}"))),
        };
        answer["ok"] = json!(true);
        Ok(answer)
    }

    async fn producer(&mut self, step: &Step) -> Result<&Producer, Failure> {
        let parts = ["endpoint", "user", "secret", "topic"].map(|key| step.get(key));
        let key = parts.join("|");
        if !self.producers.contains_key(&key) {
            let mut made = Producer::new(producer_option(step), client_option(step))?;
            made.start().await?;
            self.producers.insert(key.clone(), made);
        }
        self.producers
            .get(&key)
            .ok_or_else(|| Failure::Step("no producer".to_string()))
    }

    async fn send(&mut self, step: &Step) -> Answer {
        let producer = self.producer(step).await?;
        let mut results = Vec::new();
        for number in 0..step.number("count", 1) {
            let sent = producer.send(message(step, number)?).await?;
            results.push(json!({"id": sent.message_id(), "transaction": sent.transaction_id()}));
        }
        Ok(json!({ "results": results }))
    }

    async fn transact(&mut self, step: &Step) -> Answer {
        let handle = step.get("handle");
        if !self.transactors.contains_key(&handle) {
            let checks = Arc::new(Mutex::new(Checks::default()));
            let shared = checks.clone();
            let checker = Box::new(move |transaction: String, view: MessageView| {
                let mut checks = shared.lock().expect("no step panics");
                let mut asked = describe(&view);
                asked["transaction"] = json!(transaction);
                checks.asked.push(asked);
                match checks.ends.as_str() {
                    "commit" => TransactionResolution::COMMIT,
                    "rollback" => TransactionResolution::ROLLBACK,
                    _ => TransactionResolution::UNKNOWN,
                }
            });
            let mut made = Producer::new_transaction_producer(
                producer_option(step),
                client_option(step),
                checker,
            )?;
            made.start().await?;
            self.transactors.insert(handle.clone(), (made, checks));
        }
        let (producer, checks) = &self.transactors[&handle];
        checks.lock().expect("no step panics").ends = step.get("check");
        let transaction = producer.send_transaction_message(message(step, 0)?).await?;
        let shown =
            json!({"id": transaction.message_id(), "transaction": transaction.transaction_id()});
        match step.get("execute").as_str() {
            "commit" => transaction.commit().await?,
            "rollback" => transaction.rollback().await?,
            _ => (),
        }
        Ok(shown)
    }

    async fn checked(&mut self, step: &Step) -> Answer {
        let (_, checks) = &self.transactors[&step.get("handle")];
        let end = milliseconds() + step.number("timeout", 45_000);
        loop {
            let asked = checks.lock().expect("no step panics").asked.clone();
            if asked.len() as i64 >= step.number("count", 1) || milliseconds() > end {
                return Ok(json!({ "messages": asked }));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn open(&mut self, step: &Step) -> Answer {
        let mut option = SimpleConsumerOption::default();
        option.set_consumer_group(step.get("group"));
        option.set_topics(vec![step.get("topic")]);
        let mut made = SimpleConsumer::new(option, client_option(step))?;
        made.start().await?;
        self.consumers.insert(step.get("handle"), made);
        Ok(json!({}))
    }

    async fn receive(&mut self, step: &Step) -> Answer {
        let kind = if step.get("language") == "SQL92" {
            FilterType::Sql
        } else {
            FilterType::Tag
        };
        let text = if step.has("expression") {
            step.get("expression")
        } else {
            "*".to_string()
        };
        let filter = FilterExpression::new(kind, text);
        let invisible = Duration::from_secs(step.number("seconds", 30) as u64);
        let consumer = &self.consumers[&step.get("handle")];
        let count = step.number("count", 16) as i32;
        let found = consumer
            .receive_with(step.get("topic"), &filter, count, invisible)
            .await?;
        let mut shown = Vec::new();
        for view in found {
            let mut one = describe(&view);
            one["id"] = json!(format!("v{}", self.views.len()));
            self.views.push(view);
            shown.push(one);
        }
        Ok(json!({ "messages": shown }))
    }

    async fn ack(&mut self, step: &Step) -> Answer {
        let at: usize = step
            .get("id")
            .trim_start_matches('v')
            .parse()
            .unwrap_or(usize::MAX);
        let view = self
            .views
            .get(at)
            .ok_or_else(|| Failure::Step("no such message".to_string()))?;
        self.consumers[&step.get("handle")].ack(view).await?;
        Ok(json!({}))
    }

    async fn stop(&mut self, step: &Step) -> Answer {
        if let Some(consumer) = self.consumers.remove(&step.get("handle")) {
            consumer.shutdown().await?;
        }
        Ok(json!({}))
    }

    async fn close(&mut self) -> Answer {
        for (_, consumer) in self.consumers.drain() {
            consumer.shutdown().await?;
        }
        for (_, producer) in self.producers.drain() {
            producer.shutdown().await?;
        }
        for (_, (producer, _)) in self.transactors.drain() {
            producer.shutdown().await?;
        }
        Ok(json!({}))
    }
}
