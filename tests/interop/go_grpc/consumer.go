package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-clients/golang/v5"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
)

// pushing is a started push or lite push consumer with all that it was given.
type pushing struct {
	consumer interface{ GracefulStop() error }
	lock     sync.Mutex
	messages []answer
}

var (
	simple  = map[string]rocketmq.SimpleConsumer{}
	pushers = map[string]*pushing{}
	views   = map[string]*rocketmq.MessageView{}
)

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

func describe(view *rocketmq.MessageView) answer {
	out := answer{
		"body": string(view.GetBody()), "topic": view.GetTopic(), "tag": text(view.GetTag()), "keys": view.GetKeys(),
		"messageId": view.GetMessageId(), "fifo": text(view.GetMessageGroup()), "lite": view.GetLiteTopic(),
		"attempt": view.GetDeliveryAttempt(), "offset": view.GetOffset(), "properties": view.GetProperties(),
		"received": time.Now().UnixMilli(),
	}
	if born := view.GetBornTimestamp(); born != nil {
		out["born"] = born.UnixMilli()
	}
	return out
}

func subscriptions(s step) map[string]*rocketmq.FilterExpression {
	expression := rocketmq.NewFilterExpression(s.get("expression", "*"))
	if s.get("language", "") == "SQL92" {
		expression = rocketmq.NewFilterExpressionWithType(s.get("expression", ""), rocketmq.SQL92)
	}
	return map[string]*rocketmq.FilterExpression{s.get("topic", ""): expression}
}

func open(s step) (answer, error) {
	made, err := rocketmq.NewSimpleConsumer(
		s.config(),
		rocketmq.WithSimpleAwaitDuration(time.Duration(s.number("await", 5000))*time.Millisecond),
		rocketmq.WithSimpleSubscriptionExpressions(subscriptions(s)),
	)
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	simple[s.get("handle", "")] = made
	return answer{}, nil
}

func receive(s step) (answer, error) {
	found, err := simple[s.get("handle", "")].Receive(context.Background(), int32(s.number("count", 16)), s.seconds("seconds", 30))
	// This client gives an error if there is no message.
	if status, ok := rocketmq.AsErrRpcStatus(err); ok && status.GetCode() == int32(v2.Code_MESSAGE_NOT_FOUND) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	shown := []answer{}
	for _, view := range found {
		id := fmt.Sprint("v", len(views))
		views[id] = view
		one := describe(view)
		one["id"] = id
		shown = append(shown, one)
	}
	return answer{"messages": shown}, nil
}

func ack(s step) (answer, error) {
	return answer{}, simple[s.get("handle", "")].Ack(context.Background(), views[s.get("id", "")])
}

func change(s step) (answer, error) {
	return answer{}, simple[s.get("handle", "")].ChangeInvisibleDuration(views[s.get("id", "")], s.seconds("seconds", 10))
}

func (p *pushing) listener(s step) rocketmq.PushConsumerOption {
	failures := int32(s.number("failures", 0))
	return rocketmq.WithPushMessageListener(&rocketmq.FuncMessageListener{
		Consume: func(view *rocketmq.MessageView) rocketmq.ConsumerResult {
			p.lock.Lock()
			p.messages = append(p.messages, describe(view))
			p.lock.Unlock()
			time.Sleep(time.Duration(s.number("work", 0)) * time.Millisecond)
			if view.GetDeliveryAttempt() > failures {
				return rocketmq.SUCCESS
			}
			return rocketmq.FAILURE
		},
	})
}

func push(s step) (answer, error) {
	state := &pushing{}
	made, err := rocketmq.NewPushConsumer(
		s.config(), rocketmq.WithPushSubscriptionExpressions(subscriptions(s)), state.listener(s),
	)
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	state.consumer = made
	pushers[s.get("handle", "")] = state
	return answer{}, nil
}

func lite(s step) (answer, error) {
	state := &pushing{}
	made, err := rocketmq.NewLitePushConsumer(
		s.config(), rocketmq.NewLitePushConsumerConfig(s.get("topic", ""), 30*time.Second), state.listener(s),
	)
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	state.consumer = made
	pushers[s.get("handle", "")] = state
	for _, name := range strings.FieldsFunc(s.get("lites", ""), func(r rune) bool { return r == ',' }) {
		if err := made.SubscribeLite(name); err != nil {
			return nil, err
		}
	}
	return answer{}, nil
}

func unsubscribeLite(s step) (answer, error) {
	consumer, ok := pushers[s.get("handle", "")].consumer.(rocketmq.LitePushConsumer)
	if !ok {
		return nil, fmt.Errorf("%s is no lite consumer", s.get("handle", ""))
	}
	return answer{}, consumer.UnSubscribeLite(s.get("lite", ""))
}

func pushed(s step) (answer, error) {
	state, ok := pushers[s.get("handle", "")]
	if !ok {
		return nil, fmt.Errorf("no consumer %s", s.get("handle", ""))
	}
	return awaited(s, func() []answer {
		state.lock.Lock()
		defer state.lock.Unlock()
		return append([]answer{}, state.messages...)
	}), nil
}

// stop does not wait for a push consumer, which ends only after its open receive.
func stop(s step) (answer, error) {
	handle := s.get("handle", "")
	if state, ok := pushers[handle]; ok {
		delete(pushers, handle)
		go state.consumer.GracefulStop()
		return answer{}, nil
	}
	if consumer, ok := simple[handle]; ok {
		delete(simple, handle)
		return answer{}, consumer.GracefulStop()
	}
	return answer{}, nil
}

func closeAll(step) (answer, error) {
	for handle := range pushers {
		if _, err := stop(step{arguments: map[string]string{"handle": handle}}); err != nil {
			return nil, err
		}
	}
	for handle, consumer := range simple {
		if err := consumer.GracefulStop(); err != nil {
			return nil, err
		}
		delete(simple, handle)
	}
	for key, made := range producers {
		if err := made.GracefulStop(); err != nil {
			return nil, err
		}
		delete(producers, key)
	}
	for key, state := range transactors {
		if err := state.made.GracefulStop(); err != nil {
			return nil, err
		}
		delete(transactors, key)
	}
	return answer{}, nil
}
