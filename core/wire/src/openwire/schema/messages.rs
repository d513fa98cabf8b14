//! The message types and the commands that carry or name messages.

use super::base_command;

parent! {
    message "Message", extends base_command {
        PRODUCER_ID = "producerId": Cached(of::PRODUCER_ID), 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        TRANSACTION_ID = "transactionId": Cached(of::TRANSACTION_ID), 1..;
        ORIGINAL_DESTINATION = "originalDestination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        MESSAGE_ID = "messageId": Object(of::MESSAGE_ID), 1..;
        ORIGINAL_TRANSACTION_ID = "originalTransactionId": Cached(of::TRANSACTION_ID), 1..;
        GROUP_ID = "groupID": String, 1..;
        GROUP_SEQUENCE = "groupSequence": Int, 1..;
        CORRELATION_ID = "correlationId": String, 1..;
        PERSISTENT = "persistent": Bool, 1..;
        EXPIRATION = "expiration": Long, 1..;
        PRIORITY = "priority": Byte, 1..;
        REPLY_TO = "replyTo": Object(of::ACTIVE_MQ_DESTINATION), 1..;
        TIMESTAMP = "timestamp": Long, 1..;
        TYPE = "type": String, 1..;
        CONTENT = "content": Bytes, 1..;
        MARSHALLED_PROPERTIES = "marshalledProperties": Bytes, 1..;
        DATA_STRUCTURE = "dataStructure": Object(of::DATA_STRUCTURE), 1..;
        TARGET_CONSUMER_ID = "targetConsumerId": Cached(of::CONSUMER_ID), 1..;
        COMPRESSED = "compressed": Bool, 1..;
        REDELIVERY_COUNTER = "redeliveryCounter": Int, 1..;
        BROKER_PATH = "brokerPath": Array(of::BROKER_ID), 1..;
        ARRIVAL = "arrival": Long, 1..;
        USER_ID = "userID": String, 1..;
        RECIEVED_BY_DF_BRIDGE = "recievedByDFBridge": Bool, 1..;
        DROPPABLE = "droppable": Bool, 2..;
        CLUSTER = "cluster": Array(of::BROKER_ID), 3..;
        BROKER_IN_TIME = "brokerInTime": Long, 3..;
        BROKER_OUT_TIME = "brokerOutTime": Long, 3..;
        JMSX_GROUP_FIRST_FOR_CONSUMER = "jmsXGroupFirstForConsumer": Bool, 10..;
    }
}

structures! {
    message_pull "MessagePull" = 20 since 2, extends base_command {
        CONSUMER_ID = "consumerId": Cached(of::CONSUMER_ID), 2..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 2..;
        TIMEOUT = "timeout": Long, 2..;
        CORRELATION_ID = "correlationId": String, 3..;
        MESSAGE_ID = "messageId": Object(of::MESSAGE_ID), 3..;
    }

    message_dispatch "MessageDispatch" = 21 since 1, extends base_command {
        CONSUMER_ID = "consumerId": Cached(of::CONSUMER_ID), 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        MESSAGE = "message": Object(of::MESSAGE), 1..;
        REDELIVERY_COUNTER = "redeliveryCounter": Int, 1..;
    }

    message_ack "MessageAck" = 22 since 1, extends base_command {
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        TRANSACTION_ID = "transactionId": Cached(of::TRANSACTION_ID), 1..;
        CONSUMER_ID = "consumerId": Cached(of::CONSUMER_ID), 1..;
        ACK_TYPE = "ackType": Byte, 1..;
        FIRST_MESSAGE_ID = "firstMessageId": Object(of::MESSAGE_ID), 1..;
        LAST_MESSAGE_ID = "lastMessageId": Object(of::MESSAGE_ID), 1..;
        MESSAGE_COUNT = "messageCount": Int, 1..;
        POISON_CAUSE = "poisonCause": Throwable, 7..;
    }

    active_mq_message "ActiveMQMessage" = 23 since 1, extends message {}

    active_mq_bytes_message "ActiveMQBytesMessage" = 24 since 1, extends message {}

    active_mq_map_message "ActiveMQMapMessage" = 25 since 1, extends message {}

    active_mq_object_message "ActiveMQObjectMessage" = 26 since 1, extends message {}

    active_mq_stream_message "ActiveMQStreamMessage" = 27 since 1, extends message {}

    active_mq_text_message "ActiveMQTextMessage" = 28 since 1, extends message {}

    active_mq_blob_message "ActiveMQBlobMessage" = 29 since 3, extends message {
        REMOTE_BLOB_URL = "remoteBlobUrl": String, 3..;
        MIME_TYPE = "mimeType": String, 3..;
        DELETED_BY_BROKER = "deletedByBroker": Bool, 3..;
    }

    message_dispatch_notification "MessageDispatchNotification" = 90 since 1, extends base_command {
        CONSUMER_ID = "consumerId": Cached(of::CONSUMER_ID), 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        DELIVERY_SEQUENCE_ID = "deliverySequenceId": Long, 1..;
        MESSAGE_ID = "messageId": Object(of::MESSAGE_ID), 1..;
    }
}
