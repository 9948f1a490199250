package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// request sends requests, and gives the bodies of their replies; each waits for its reply, or all wait together.
func request(s step) (answer, error) {
	made, err := open(s)
	if err != nil {
		return nil, err
	}
	timeout := time.Duration(s.number("timeout", 10000)) * time.Millisecond
	sent := messages(s)
	replies := make([]string, len(sent))
	if s.get("mode", "sync") == "sync" {
		for i, message := range sent {
			reply, err := made.Request(context.Background(), timeout, message)
			if err != nil {
				return nil, err
			}
			replies[i] = string(reply.Body)
		}
		return answer{"replies": replies}, nil
	}
	failures := make([]error, len(sent))
	var pending sync.WaitGroup
	for i, message := range sent {
		i := i
		var once sync.Once // the client calls back again when it drops an answered request
		pending.Add(1)
		err := made.RequestAsync(context.Background(), timeout, func(_ context.Context, reply *primitive.Message, err error) {
			once.Do(func() {
				defer pending.Done()
				if failures[i] = err; err == nil {
					replies[i] = string(reply.Body)
				}
			})
		}, message)
		if err != nil {
			return nil, err
		}
	}
	pending.Wait()
	return answer{"replies": replies}, errors.Join(failures...)
}

type responder struct {
	consumer rocketmq.PushConsumer
	guard    sync.Mutex
	failures []string
}

var responders = map[string]*responder{}

// respond starts a consumer that replies to each message with its body and a word.
func respond(s step) (answer, error) {
	sender, err := open(s)
	if err != nil {
		return nil, err
	}
	made, err := rocketmq.NewPushConsumer(
		consumer.WithGroupName(s.get("group", "")), consumer.WithNsResolver(s.resolver()),
		consumer.WithInstance(s.get("handle", "")+strconv.FormatInt(time.Now().UnixNano(), 36)),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithCredentials(s.credentials()),
	)
	if err != nil {
		return nil, err
	}
	state := &responder{consumer: made, failures: []string{}}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	err = made.Subscribe(s.get("topic", ""), selector, func(ctx context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range batch {
			reply, err := consumer.CreateReplyMessage(message, nil)
			if err == nil {
				reply.Body = append(append([]byte{}, message.Body...), "-answered"...) // CreateReplyMessage leaves it empty
				_, err = sender.SendSync(ctx, reply)
			}
			if err != nil {
				state.guard.Lock()
				state.failures = append(state.failures, err.Error())
				state.guard.Unlock()
			}
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return nil, err
	}
	responders[s.get("handle", "")] = state
	return answer{}, made.Start()
}

// responded ends a responder, and gives what it could not send.
func responded(s step) (answer, error) {
	state := responders[s.get("handle", "")]
	delete(responders, s.get("handle", ""))
	if err := state.consumer.Shutdown(); err != nil {
		return nil, err
	}
	state.guard.Lock()
	defer state.guard.Unlock()
	return answer{"failures": state.failures}, nil
}
