//! Examples of requests and replies: those of `examples.json`, which a test sends in their order to a server, and whose replies are
//! what that server says.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::member;

/// The steps, in an order in which they make sense.
const STEPS: &str = include_str!("examples.json");

/// One request, and what is answered.
#[derive(Deserialize)]
struct Step {
    operation: String,
    name: String,
    summary: String,
    status: u16,
    #[serde(default)]
    path: Map<String, Value>,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    body: Option<Value>,
    /// A body that is not JSON, and of which type it is.
    text: Option<String>,
    #[serde(rename = "type")]
    media_type: Option<String>,
    reply: Option<Value>,
    reply_type: Option<String>,
}

/// Puts every example where it belongs.
pub(super) fn add(document: &mut Value) {
    let steps: Vec<Step> = serde_json::from_str(STEPS).unwrap_or_default();
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    for operation in operations {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        for step in steps.iter().filter(|step| step.operation == id) {
            step.add(operation);
        }
    }
}

impl Step {
    fn add(&self, operation: &mut Value) {
        let is_success = self.status < 400;
        if is_success && let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
            for parameter in parameters {
                self.add_to_parameter(parameter);
            }
        }
        if let Some(content) = operation.pointer_mut("/requestBody/content") {
            let body = self.body.clone().or_else(|| self.text.clone().map(Value::String));
            let media_type = self.media_type.as_deref().unwrap_or("application/json");
            if let (Some(body), Some(content)) = (body.filter(|_| is_success), content.get_mut(media_type)) {
                member(content, "examples")[&self.name] = json!({ "summary": self.summary, "value": body });
            }
        }
        let (Some(reply), Some(media_type)) = (&self.reply, &self.reply_type) else { return };
        // Refusals are examples of their codes, which all operations share.
        let response = operation.get_mut("responses").and_then(|all| all.get_mut(self.status.to_string()));
        let content = response.and_then(|one| one.get_mut("content")).and_then(|all| all.get_mut(media_type));
        if let Some(content) = content {
            member(content, "examples")[&self.name] = json!({ "summary": self.summary, "value": reply });
        }
    }

    /// The first example that gives a parameter is the parameter's.
    fn add_to_parameter(&self, parameter: &mut Value) {
        if parameter.get("example").is_some() {
            return;
        }
        let given = match parameter.get("in").and_then(Value::as_str) {
            Some("path") => &self.path,
            Some("header") => &self.headers,
            _ => &self.query,
        };
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(text) = given.get(name).and_then(Value::as_str) else { return };
        let kind = parameter.pointer("/schema/type").and_then(Value::as_str).unwrap_or_default();
        let value = match kind {
            // As the schema has it, not as it stands in the target.
            "integer" | "number" | "boolean" => serde_json::from_str(text).unwrap_or_default(),
            "array" => json!([text]),
            _ => json!(text),
        };
        parameter["example"] = value;
    }
}
