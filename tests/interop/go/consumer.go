package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// running is a started push consumer with all that it was given.
type running struct {
	consumer rocketmq.PushConsumer
	guard    sync.Mutex
	messages []answer
}

var consumers = map[string]*running{}

func describe(message *primitive.MessageExt) answer {
	return answer{
		"topic": message.Topic, "body": string(message.Body), "msgId": message.MsgId, "tag": message.GetTags(), "key": message.GetKeys(),
		"queue": message.Queue.QueueId, "offset": message.QueueOffset, "reconsumed": message.ReconsumeTimes,
		"born": message.BornTimestamp, "stored": message.StoreTimestamp, "properties": message.GetProperties(),
	}
}

func consume(s step) (answer, error) {
	options := []consumer.Option{
		consumer.WithGroupName(s.get("group", "")),
		consumer.WithNsResolver(s.resolver()),
		consumer.WithInstance(s.get("handle", "") + strconv.FormatInt(time.Now().UnixNano(), 36)),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerOrder(s.get("orderly", "") == "true"),
		consumer.WithMaxReconsumeTimes(int32(s.number("maxReconsume", -1))),
		consumer.WithSuspendCurrentQueueTimeMillis(200 * time.Millisecond),
	}
	if s.get("model", "") == "BROADCASTING" {
		options = append(options, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	if _, ok := s.arguments["user"]; ok {
		options = append(options, consumer.WithCredentials(s.credentials()))
	}
	made, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	state := &running{consumer: made}
	selector := consumer.MessageSelector{Type: consumer.ExpressionType(s.get("language", "TAG")), Expression: s.get("expression", "*")}
	failures := int32(s.number("failures", 0))
	err = made.Subscribe(s.get("topic", ""), selector, func(ctx context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		state.guard.Lock()
		defer state.guard.Unlock()
		for _, message := range batch {
			state.messages = append(state.messages, describe(message))
		}
		if batch[0].ReconsumeTimes >= failures {
			return consumer.ConsumeSuccess, nil
		}
		if s.get("orderly", "") == "true" {
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		if concurrently, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			concurrently.DelayLevelWhenNextConsume = s.number("level", 1)
		}
		return consumer.ConsumeRetryLater, nil
	})
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	consumers[s.get("handle", "")] = state
	return answer{}, nil
}

func received(s step) (answer, error) {
	state, ok := consumers[s.get("handle", "")]
	if !ok {
		return nil, fmt.Errorf("no consumer %s", s.get("handle", ""))
	}
	end := time.Now().Add(time.Duration(s.number("timeout", 45000)) * time.Millisecond)
	for {
		state.guard.Lock()
		out := append([]answer{}, state.messages...)
		state.guard.Unlock()
		if len(out) >= s.number("count", 1) || time.Now().After(end) {
			return answer{"messages": out}, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func stop(s step) (answer, error) {
	state, ok := consumers[s.get("handle", "")]
	if !ok {
		return answer{}, nil
	}
	delete(consumers, s.get("handle", ""))
	return answer{}, state.consumer.Shutdown()
}

func pull(s step) (answer, error) {
	options := []consumer.Option{
		consumer.WithGroupName(s.get("group", "")), consumer.WithNsResolver(s.resolver()),
		consumer.WithInstance("pull" + strconv.FormatInt(time.Now().UnixNano(), 36)),
	}
	if _, ok := s.arguments["user"]; ok {
		options = append(options, consumer.WithCredentials(s.credentials()))
	}
	made, err := rocketmq.NewPullConsumer(options...)
	if err != nil {
		return nil, err
	}
	if err := made.Subscribe(s.get("topic", ""), consumer.MessageSelector{Type: consumer.TAG, Expression: s.get("expression", "*")}); err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	defer made.Shutdown()
	queue := &primitive.MessageQueue{Topic: s.get("topic", ""), BrokerName: s.get("broker", ""), QueueId: s.number("queue", 0)}
	context, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result, err := made.PullFrom(context, queue, int64(s.number("offset", 0)), s.number("count", 32))
	if err != nil {
		return nil, err
	}
	found := []answer{}
	for _, message := range result.GetMessageExts() {
		found = append(found, describe(message))
	}
	return answer{"next": result.NextBeginOffset, "min": result.MinOffset, "max": result.MaxOffset, "messages": found}, nil
}

func closeAll(step) (answer, error) {
	for key, state := range responders {
		if err := state.consumer.Shutdown(); err != nil {
			return nil, err
		}
		delete(responders, key)
	}
	for key, state := range consumers {
		if err := state.consumer.Shutdown(); err != nil {
			return nil, err
		}
		delete(consumers, key)
	}
	for key, made := range producers {
		if err := made.Shutdown(); err != nil {
			return nil, err
		}
		delete(producers, key)
	}
	for key, state := range transactors {
		if err := state.made.Shutdown(); err != nil {
			return nil, err
		}
		delete(transactors, key)
	}
	return answer{}, nil
}
