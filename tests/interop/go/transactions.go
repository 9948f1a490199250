package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var states = map[string]primitive.LocalTransactionState{
	"COMMIT_MESSAGE": primitive.CommitMessageState, "ROLLBACK_MESSAGE": primitive.RollbackMessageState, "UNKNOW": primitive.UnknowState,
}

// transactor is a transactional producer; its local transactions and its checks end as the steps say.
type transactor struct {
	made    rocketmq.TransactionProducer
	lock    sync.Mutex
	execute primitive.LocalTransactionState
	check   primitive.LocalTransactionState
	checks  []answer
}

var transactors = map[string]*transactor{}

func (t *transactor) ExecuteLocalTransaction(*primitive.Message) primitive.LocalTransactionState {
	t.lock.Lock()
	defer t.lock.Unlock()
	return t.execute
}

func (t *transactor) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.checks = append(t.checks, answer{
		"body": string(message.Body), "topic": message.Topic, "transactionId": message.GetProperty(primitive.PropertyUniqueClientMessageIdKeyIndex),
		"properties": message.GetProperties(),
	})
	return t.check
}

func (t *transactor) set(s step) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if state, ok := states[s.get("execute", "")]; ok {
		t.execute = state
	}
	if state, ok := states[s.get("check", "")]; ok {
		t.check = state
	}
}

// transact starts a producer, or changes how the transactions of a started one end.
func transact(s step) (answer, error) {
	if known, ok := transactors[s.get("handle", "")]; ok {
		known.set(s)
		return answer{}, nil
	}
	state := &transactor{execute: primitive.UnknowState, check: primitive.UnknowState}
	state.set(s)
	made, err := rocketmq.NewTransactionProducer(state,
		producer.WithNsResolver(s.resolver()),
		producer.WithGroupName(s.get("group", "")),
		producer.WithInstanceName("transactor"+strconv.FormatInt(time.Now().UnixNano(), 36)),
		producer.WithCredentials(s.credentials()),
		producer.WithRetry(0),
	)
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	state.made = made
	transactors[s.get("handle", "")] = state
	return answer{}, nil
}

func half(s step) (answer, error) {
	results := []answer{}
	for _, message := range messages(s) {
		result, err := transactors[s.get("handle", "")].made.SendMessageInTransaction(context.Background(), message)
		if err != nil {
			return nil, err
		}
		out := describeSent(result.SendResult)
		out["transactionId"] = result.TransactionID
		results = append(results, out)
	}
	return answer{"results": results}, nil
}

func checked(s step) (answer, error) {
	state := transactors[s.get("handle", "")]
	end := time.Now().Add(time.Duration(s.number("timeout", 45000)) * time.Millisecond)
	for {
		state.lock.Lock()
		found := append([]answer{}, state.checks...)
		state.lock.Unlock()
		if len(found) >= s.number("count", 1) || time.Now().After(end) {
			return answer{"checks": found}, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func endTransact(s step) (answer, error) {
	handle := s.get("handle", "")
	state, ok := transactors[handle]
	if !ok {
		return nil, fmt.Errorf("no transactional producer %s", handle)
	}
	delete(transactors, handle)
	return answer{}, state.made.Shutdown()
}
