"""FIX tag numbers under their names in the specification.

The names are FIX 4.4's, verbatim; FIX 4.2 has another name for a few numbers (32 was LastShares, 22 was
IDSource). Only tags that the venue reads, writes or speaks of are here: the set of all tags a FIX version
knows is a matter of `fixgw.dictionary`.

Source: FIX 4.4 with Errata 20030618, Volume 6 (field definitions). ApplID, ApplSeqNum and DisplayQty are of FIX 5.0
SP2. MassCancelSession is the venue's own.
"""

from typing import Final

# Standard header and trailer
BeginString: Final = 8
BodyLength: Final = 9
CheckSum: Final = 10
MsgSeqNum: Final = 34
MsgType: Final = 35
PossDupFlag: Final = 43
SenderCompID: Final = 49
SenderSubID: Final = 50
SendingTime: Final = 52
TargetCompID: Final = 56
TargetSubID: Final = 57
SignatureLength: Final = 93
Signature: Final = 89
SecureDataLen: Final = 90
SecureData: Final = 91
PossResend: Final = 97
OnBehalfOfCompID: Final = 115
OnBehalfOfSubID: Final = 116
OrigSendingTime: Final = 122
DeliverToCompID: Final = 128
DeliverToSubID: Final = 129
SenderLocationID: Final = 142
TargetLocationID: Final = 143
OnBehalfOfLocationID: Final = 144
DeliverToLocationID: Final = 145
XmlDataLen: Final = 212
XmlData: Final = 213
MessageEncoding: Final = 347
LastMsgSeqNumProcessed: Final = 369

# Session messages
BeginSeqNo: Final = 7
EndSeqNo: Final = 16
NewSeqNo: Final = 36
RefSeqNum: Final = 45
Text: Final = 58
RawDataLength: Final = 95
RawData: Final = 96
EncryptMethod: Final = 98
HeartBtInt: Final = 108
TestReqID: Final = 112
GapFillFlag: Final = 123
ResetSeqNumFlag: Final = 141
RefTagID: Final = 371
RefMsgType: Final = 372
SessionRejectReason: Final = 373
BusinessRejectRefID: Final = 379
BusinessRejectReason: Final = 380
MaxMessageSize: Final = 383
TestMessageIndicator: Final = 464
Username: Final = 553
Password: Final = 554
NextExpectedMsgSeqNum: Final = 789
NewPassword: Final = 925

# Orders and reports
Account: Final = 1
AvgPx: Final = 6
ClOrdID: Final = 11
CumQty: Final = 14
Currency: Final = 15
ExecID: Final = 17
ExecInst: Final = 18
ExecRefID: Final = 19
ExecTransType: Final = 20
HandlInst: Final = 21
SecurityIDSource: Final = 22
LastPx: Final = 31
LastQty: Final = 32
NoLinesOfText: Final = 33
OrderID: Final = 37
OrderQty: Final = 38
OrdStatus: Final = 39
OrdType: Final = 40
OrigClOrdID: Final = 41
Price: Final = 44
SecurityID: Final = 48
Side: Final = 54
Symbol: Final = 55
TimeInForce: Final = 59
TransactTime: Final = 60
TradeDate: Final = 75
StopPx: Final = 99
ExDestination: Final = 100
CxlRejReason: Final = 102
OrdRejReason: Final = 103
MinQty: Final = 110
MaxFloor: Final = 111
ExpireTime: Final = 126
Headline: Final = 148
ExecType: Final = 150
LeavesQty: Final = 151
EffectiveTime: Final = 168
MaxShow: Final = 210
PegOffsetValue: Final = 211
SubscriptionRequestType: Final = 263
SecurityStatusReqID: Final = 324
SecurityTradingStatus: Final = 326
HaltReasonChar: Final = 327
TradingSessionID: Final = 336
ExecRestatementReason: Final = 378
DiscretionInst: Final = 388
DiscretionOffsetValue: Final = 389
PriceType: Final = 423
ExpireDate: Final = 432
CxlRejResponseTo: Final = 434
SecondaryExecID: Final = 527
MassCancelRequestType: Final = 530
MassCancelResponse: Final = 531
MassCancelRejectReason: Final = 532
TotalAffectedOrders: Final = 533
NoSides: Final = 552
TradeRequestID: Final = 568
TradeRequestType: Final = 569
PreviouslyReported: Final = 570
TradeReportID: Final = 571
MassStatusReqID: Final = 584
MassStatusReqType: Final = 585
TotNumTradeReports: Final = 748
TradeRequestResult: Final = 749
TradeRequestStatus: Final = 750
OrdStatusReqID: Final = 790
PegMoveType: Final = 835
PegOffsetType: Final = 836
PegScope: Final = 840
TargetStrategy: Final = 847
TrdMatchID: Final = 880
LastRptRequested: Final = 912
DisplayQty: Final = 1138
ApplID: Final = 1180
ApplSeqNum: Final = 1181
MassCancelSession: Final = 5530

NAMES: Final[dict[int, str]] = {number: name for name, number in list(globals().items()) if isinstance(number, int)}


def label(tag: int) -> str:
    """The tag as texts for humans cite it: "MsgSeqNum(34)", or "tag 9999" when it has no name here."""
    name = NAMES.get(tag)
    return f"{name}({tag})" if name is not None else f"tag {tag}"
