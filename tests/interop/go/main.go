// Drives the unmodified official Go client: one step a line in, one JSON object a line out.
//
// A step is "verb key=value …" with URL-encoded values. The answer is {"ok":true,…} or
// {"ok":false,"code":16,"remark":"…"} as the client's caller got it. The process ends when its input does.
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

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/rlog"
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

func (s step) credentials() primitive.Credentials {
	return primitive.Credentials{AccessKey: s.get("user", ""), SecretKey: s.get("secret", ""), SecurityToken: s.get("token", "")}
}

func (s step) resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{s.get("namesrv", "")})
}

// refusal finds code and remark in the texts that this client makes of an answer that it did not want.
var refusal = regexp.MustCompile(`(?s)(?:CODE: |unknown Response Code: )(-?\d+),?\s+(?:DESC|remark): (.*)`)

// failure tells what the client's caller learns: the response code and remark where there is one.
func failure(err error) answer {
	out := answer{"ok": false, "code": -1, "remark": err.Error(), "message": err.Error()}
	if found := refusal.FindStringSubmatch(err.Error()); found != nil {
		out["code"], _ = strconv.Atoi(found[1])
		out["remark"] = found[2]
	}
	return out
}

func run(s step) (result answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = answer{"ok": false, "code": -1, "remark": fmt.Sprint(panicked), "message": "panic"}
		}
	}()
	verbs := map[string]func(step) (answer, error){
		"send": send, "createTopic": createTopic, "consume": consume, "received": received, "stop": stop, "pull": pull, "close": closeAll,
		"transact": transact, "half": half, "checked": checked, "endTransact": endTransact,
		"request": request, "respond": respond, "responded": responded,
	}
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
	rlog.SetLogLevel(os.Getenv("DRIVER_LOG_LEVEL")) // an empty level keeps the client's own
	rlog.SetOutputPath(os.Getenv("DRIVER_LOG"))
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
