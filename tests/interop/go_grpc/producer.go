package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-clients/golang/v5"
)

var producers = map[string]rocketmq.Producer{}

// opened gives the producer of this address, user and topic, started once.
func opened(s step) (rocketmq.Producer, error) {
	key := strings.Join([]string{s.get("endpoint", ""), s.get("user", ""), s.get("secret", ""), s.get("topic", "")}, "|")
	if known, ok := producers[key]; ok {
		return known, nil
	}
	made, err := rocketmq.NewProducer(s.config(), rocketmq.WithTopics(s.get("topic", "")), rocketmq.WithMaxAttempts(1))
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	producers[key] = made
	return made, nil
}

func message(s step, number int) (*rocketmq.Message, error) {
	made := &rocketmq.Message{
		Topic: s.get("topic", ""), Body: []byte(fmt.Sprintf("%s-%d", s.get("body", "message"), number)),
	}
	if s.has("tag") {
		made.SetTag(s.get("tag", ""))
	}
	if s.has("key") {
		made.SetKeys(s.get("key", ""))
	}
	if s.has("fifo") {
		made.SetMessageGroup(s.get("fifo", ""))
	}
	if s.has("delay") {
		made.SetDelayTimestamp(time.Now().Add(time.Duration(s.number("delay", 0)) * time.Millisecond))
	}
	if s.has("lite") {
		made.SetLiteTopic(s.get("lite", ""))
	}
	if s.has("priority") {
		if err := made.SetPriority(int32(s.number("priority", 0))); err != nil {
			return nil, err
		}
	}
	for name, value := range s.arguments {
		if strings.HasPrefix(name, "property.") {
			made.AddProperty(strings.TrimPrefix(name, "property."), strings.ReplaceAll(value, "{}", strconv.Itoa(number)))
		}
	}
	return made, nil
}

func receipt(sent *rocketmq.SendReceipt) answer {
	return answer{"id": sent.MessageID, "transaction": sent.TransactionId, "offset": sent.Offset, "handle": sent.RecallHandle}
}

func send(s step) (answer, error) {
	made, err := opened(s)
	if err != nil {
		return nil, err
	}
	results := []answer{}
	for number := 0; number < s.number("count", 1); number++ {
		one, err := message(s, number)
		if err != nil {
			return nil, err
		}
		sent, err := made.Send(context.Background(), one)
		if err != nil {
			return nil, err
		}
		if len(sent) != 1 {
			return nil, fmt.Errorf("%d receipts of one message", len(sent))
		}
		results = append(results, receipt(sent[0]))
	}
	return answer{"results": results}, nil
}

func recall(s step) (answer, error) {
	made, err := opened(s)
	if err != nil {
		return nil, err
	}
	id, err := made.Recall(context.Background(), s.get("topic", ""), s.get("recall", ""))
	return answer{"id": id}, err
}

var resolutions = map[string]rocketmq.TransactionResolution{
	"commit": rocketmq.COMMIT, "rollback": rocketmq.ROLLBACK, "unknown": rocketmq.UNKNOWN,
}

// transactor is a producer of transactions; its checks end as the last step said.
type transactor struct {
	made   rocketmq.Producer
	lock   sync.Mutex
	check  rocketmq.TransactionResolution
	checks []answer
}

var transactors = map[string]*transactor{}

func (t *transactor) checker(view *rocketmq.MessageView) rocketmq.TransactionResolution {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.checks = append(t.checks, describe(view))
	return t.check
}

func (t *transactor) start(s step) error {
	checker := &rocketmq.TransactionChecker{Check: t.checker}
	made, err := rocketmq.NewProducer(
		s.config(), rocketmq.WithTopics(s.get("topic", "")), rocketmq.WithTransactionChecker(checker), rocketmq.WithMaxAttempts(1),
	)
	if err != nil {
		return err
	}
	t.made = made
	return made.Start()
}

func transact(s step) (answer, error) {
	known, ok := transactors[s.get("handle", "")]
	if !ok {
		known = &transactor{}
		if err := known.start(s); err != nil {
			return nil, err
		}
		transactors[s.get("handle", "")] = known
	}
	known.lock.Lock()
	known.check = resolutions[s.get("check", "unknown")]
	known.lock.Unlock()
	one, err := message(s, 0)
	if err != nil {
		return nil, err
	}
	transaction := known.made.BeginTransaction()
	sent, err := known.made.SendWithTransaction(context.Background(), one, transaction)
	if err != nil {
		return nil, err
	}
	switch s.get("execute", "") {
	case "commit":
		err = transaction.Commit()
	case "rollback":
		err = transaction.RollBack()
	}
	return receipt(sent[0]), err
}

func checked(s step) (answer, error) {
	known, ok := transactors[s.get("handle", "")]
	if !ok {
		return nil, fmt.Errorf("no transactions of %s", s.get("handle", ""))
	}
	return awaited(s, func() []answer {
		known.lock.Lock()
		defer known.lock.Unlock()
		return append([]answer{}, known.checks...)
	}), nil
}

// awaited gives what was collected, as soon as it is enough or the time is over.
func awaited(s step, collected func() []answer) answer {
	end := time.Now().Add(time.Duration(s.number("timeout", 45000)) * time.Millisecond)
	for {
		if out := collected(); len(out) >= s.number("count", 1) || time.Now().After(end) {
			return answer{"messages": out}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
