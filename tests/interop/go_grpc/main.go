// Drives the unmodified official Go client of gRPC: one step a line in, one JSON object a line out.
//
// A step is "verb key=value …" with URL-encoded values. The answer is {"ok":true,…} or
// {"ok":false,"code":40100,"message":"…"} as the client's caller got it. The process ends when its input does.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	rocketmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
)

type step struct {
	verb      string
	arguments map[string]string
}

type answer map[string]interface{}

func parse(line string) (step, error) {
	words := strings.Fields(line)
	parsed := step{verb: words[0], arguments: map[string]string{}}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		text, err := url.QueryUnescape(value)
		if err != nil {
			return parsed, err
		}
		parsed.arguments[key] = text
	}
	return parsed, nil
}

func (s step) has(key string) bool {
	_, ok := s.arguments[key]
	return ok
}

func (s step) get(key, otherwise string) string {
	if value, ok := s.arguments[key]; ok {
		return value
	}
	return otherwise
}

func (s step) number(key string, otherwise int) int {
	number, err := strconv.Atoi(s.get(key, ""))
	if err != nil {
		return otherwise
	}
	return number
}

func (s step) seconds(key string, otherwise int) time.Duration {
	return time.Duration(s.number(key, otherwise)) * time.Second
}

// config keeps TLS as the client has it by default. Without a user it has no credentials at all, so nothing is signed.
func (s step) config() *rocketmq.Config {
	made := &rocketmq.Config{Endpoint: s.get("endpoint", ""), ConsumerGroup: s.get("group", "")}
	if s.has("user") {
		made.Credentials = &credentials.SessionCredentials{AccessKey: s.get("user", ""), AccessSecret: s.get("secret", "")}
	}
	return made
}

// refusal finds the code in the texts that this client makes of an answer that it did not want.
var refusal = regexp.MustCompile(`(?s)CODE: (\w+), MESSAGE: (.*)`)

// failure tells what the client's caller learns: the code where there is one, and the text.
func failure(err error) answer {
	out := answer{"ok": false, "code": -1, "message": err.Error()}
	if status, ok := rocketmq.AsErrRpcStatus(err); ok {
		out["code"] = status.GetCode()
	} else if found := refusal.FindStringSubmatch(err.Error()); found != nil {
		out["code"] = v2.Code_value[found[1]]
	}
	return out
}

var verbs = map[string]func(step) (answer, error){
	"send": send, "recall": recall, "transact": transact, "checked": checked,
	"open": open, "receive": receive, "ack": ack, "change": change,
	"push": push, "pushed": pushed, "lite": lite, "unsubscribeLite": unsubscribeLite, "stop": stop, "close": closeAll,
}

func run(s step) (result answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = answer{"ok": false, "code": -1, "message": fmt.Sprint("panic: ", panicked)}
		}
	}()
	verb, known := verbs[s.verb]
	if !known {
		return answer{"ok": false, "error": "IllegalArgumentException", "message": "unknown step " + s.verb}
	}
	out, err := verb(s)
	if err != nil {
		return failure(err)
	}
	out["ok"] = true
	return out
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, 1<<16), 1<<22)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		s, err := parse(lines.Text())
		result := answer{"ok": false, "error": "IllegalArgumentException", "message": fmt.Sprint(err)}
		if err == nil {
			result = run(s)
		}
		if err := answers.Encode(result); err != nil {
			os.Exit(1)
		}
	}
}
