package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var producers = map[string]rocketmq.Producer{}

// open gives the producer of this address, user and group, started once.
func open(s step) (rocketmq.Producer, error) {
	group := s.get("group", "interop_go_producer")
	key := fmt.Sprint(s.get("namesrv", ""), "|", s.credentials(), "|", group, "|", s.get("mode", ""))
	if known, ok := producers[key]; ok {
		return known, nil
	}
	options := []producer.Option{
		producer.WithNsResolver(s.resolver()),
		producer.WithGroupName(group),
		producer.WithInstanceName("producer" + strconv.FormatInt(time.Now().UnixNano(), 36)),
		producer.WithRetry(0),
		producer.WithSendMsgTimeout(5 * time.Second),
	}
	if _, ok := s.arguments["user"]; ok {
		options = append(options, producer.WithCredentials(s.credentials()))
	}
	if s.get("mode", "") == "ordered" {
		options = append(options, producer.WithQueueSelector(producer.NewHashQueueSelector()))
	}
	made, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	producers[key] = made
	return made, nil
}

func messages(s step) []*primitive.Message {
	var made []*primitive.Message
	for i := 0; i < s.number("count", 1); i++ {
		message := primitive.NewMessage(s.get("topic", ""), []byte(fmt.Sprintf("%s-%d", s.get("body", "message"), i)))
		if tag := s.get("tag", ""); tag != "" {
			message.WithTag(tag)
		}
		for name, value := range s.arguments {
			if strings.HasPrefix(name, "property.") {
				message.WithProperty(strings.TrimPrefix(name, "property."), strings.ReplaceAll(value, "{}", strconv.Itoa(i)))
			}
		}
		if key := s.get("key", ""); key != "" {
			message.WithKeys([]string{key})
		}
		if level := s.number("level", 0); level > 0 {
			message.WithDelayTimeLevel(level)
		}
		if s.get("mode", "") == "ordered" {
			message.WithShardingKey(strconv.Itoa(i % s.number("shards", 1)))
		}
		made = append(made, message)
	}
	return made
}

func describeSent(result *primitive.SendResult) answer {
	return answer{
		"status": map[primitive.SendStatus]string{primitive.SendOK: "SEND_OK"}[result.Status], "msgId": result.MsgID,
		"offsetMsgId": result.OffsetMsgID, "broker": result.MessageQueue.BrokerName,
		"queue": result.MessageQueue.QueueId, "offset": result.QueueOffset,
	}
}

func send(s step) (answer, error) {
	made, err := open(s)
	if err != nil {
		return nil, err
	}
	results := []answer{}
	switch mode := s.get("mode", "sync"); mode {
	case "sync", "ordered":
		for _, message := range messages(s) {
			result, err := made.SendSync(context.Background(), message)
			if err != nil {
				return nil, err
			}
			results = append(results, describeSent(result))
		}
	case "batch":
		result, err := made.SendSync(context.Background(), messages(s)...)
		if err != nil {
			return nil, err
		}
		results = append(results, describeSent(result))
	case "oneway":
		for _, message := range messages(s) {
			if err := made.SendOneWay(context.Background(), message); err != nil {
				return nil, err
			}
		}
	case "async":
		results, err = sendAsync(made, messages(s))
		if err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown mode %s", mode)
	}
	return answer{"results": results}, nil
}

func sendAsync(made rocketmq.Producer, messages []*primitive.Message) ([]answer, error) {
	results := make(chan answer, len(messages))
	var pending sync.WaitGroup
	for _, message := range messages {
		pending.Add(1)
		err := made.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			defer pending.Done()
			if err != nil {
				results <- failure(err)
			} else {
				results <- describeSent(result)
			}
		}, message)
		if err != nil {
			return nil, err
		}
	}
	pending.Wait()
	close(results)
	var out []answer
	for result := range results {
		out = append(out, result)
	}
	return out, nil
}

func createTopic(s step) (answer, error) {
	tool, err := admin.NewAdmin(admin.WithResolver(s.resolver()), admin.WithCredentials(s.credentials()))
	if err != nil {
		return nil, err
	}
	defer tool.Close()
	// this client sends createTopic unsigned until it has asked something else of the broker
	if _, err := tool.GetAllSubscriptionGroup(context.Background(), s.get("broker", ""), 5*time.Second); err != nil {
		return nil, err
	}
	err = tool.CreateTopic(context.Background(), admin.WithTopicCreate(s.get("topic", "")), admin.WithBrokerAddrCreate(s.get("broker", "")))
	if err != nil {
		return nil, err
	}
	return answer{}, nil
}
